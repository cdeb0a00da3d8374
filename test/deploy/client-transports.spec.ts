/*
 * CLIENT_TRANSPORTS, which the chart sets: behind a load balancer without sticky sessions only websockets work, and
 * a client that would poll is told so at its first request.
 */
import { Client, endAll, runGateway } from '../system/processes.js';

afterEach(endAll);

it.each([
  [undefined, 200],
  ['websocket', 400],
])('of %p lets websockets in, and answers who would poll with %i', async (transports, status) => {
  const gateway = await runGateway({ CLIENT_TRANSPORTS: transports });
  const client = await new Client(gateway.url, 'ann', { transports: ['websocket'] }).join('lobby');
  expect(client.socket.io.engine.transport.name).toBe('websocket');
  expect((await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`)).status).toBe(status);
});
