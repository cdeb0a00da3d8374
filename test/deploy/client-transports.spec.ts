/*
 * CLIENT_TRANSPORTS, which the chart sets: behind a load balancer without sticky sessions only websockets work, and
 * a client that would poll is told so at once.
 */
import { until } from '@app/broadcast/testing';
import { Client, endAll, runGateway } from '../system/processes.js';

afterEach(endAll);

it('takes websockets only, where it is told to', async () => {
  const gateway = await runGateway({ CLIENT_TRANSPORTS: 'websocket' });
  await new Client(gateway.url, 'ann', { transports: ['websocket'] }).join('lobby');
  const polling = new Client(gateway.url, 'bob', { transports: ['polling'], reconnection: false });
  let error: Error | undefined;
  polling.socket.once('connect_error', (reason) => (error = reason));
  await until('polling is refused', () => error !== undefined);
  expect((await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`)).status).toBe(400);
});

it('takes both otherwise', async () => {
  const gateway = await runGateway({});
  for (const transport of ['websocket', 'polling']) {
    await new Client(gateway.url, 'ann', { transports: [transport], upgrade: false }).join('lobby');
  }
});
