/*
 * A plain Socket.IO server in a process of its own, from the built files: `npm run build` before. Does what its parent
 * asks for, and so shows how a server behaves whose whole process is stopped, killed or closed.
 */
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { Bus, createAdapter, rabbitmq, redis } from '../../dist/libs/broadcast/src/index.js';

const { TRANSPORT, URL: url, PREFIX: prefix, INSTANCE: instance, ADAPTER = '{}' } = process.env;

const transport = TRANSPORT === 'redis' ? redis({ url, prefix }) : rabbitmq({ url, prefix });
const bus = new Bus(transport, { instance, linger: 100 });
await bus.connect(15_000);
const http = createServer();
const server = new Server(http, { adapter: createAdapter(bus, JSON.parse(ADAPTER)) });
const { adapter } = server.of('/');
const missing = [];
adapter.on('incomplete', (what) => missing.push(what));
server.on('ask', (answer) => answer(instance));

const answers = {
  id: () => adapter.servers()[0].id,
  count: () => adapter.serverCount(),
  servers: () => adapter.servers(),
  missing: () => missing.splice(0),
  sockets: async () => (await server.fetchSockets()).map(({ id }) => id).sort(),
  ask: (timeout) => server.timeout(timeout).emitWithAck('ask'),
  askServers: () => server.serverSideEmitWithAck('ask'),
  emit: (event) => server.emit(event),
  exit: (event) => {
    for (const n of [0, 1, 2]) server.emit(event, n);
    process.exit();
  },
  close: async () => {
    await server.close();
    await bus.close();
  },
};

process.on('message', async ({ id, question, args }) => {
  try {
    process.send({ id, answer: await answers[question](...args) });
  } catch (error) {
    process.send({ id, error: error.message });
  }
  // From here on only what was left open keeps the process.
  if (question === 'close') process.disconnect();
});
// An orphan has nobody to end it.
process.on('disconnect', () => setTimeout(() => process.exit(1), 10_000).unref());

await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
process.send({ url: `http://127.0.0.1:${http.address().port}` });
