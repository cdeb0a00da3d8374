/*
 * On the way from the one to the other without a gap: starts on the Redis adapter, and changes when a client says
 * "change" to any of the servers. Yours would be told in a way that only you can. With ADAPTER=roomcast it starts on
 * Roomcast: for servers that start when the others have changed.
 */
import { createAdapter, createBus } from '@roomcast/broadcast';
import { createAdapter as createRedisAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { rooms } from './rooms.mjs';

const pubClient = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379');
const subClient = pubClient.duplicate();
const bus = createBus();
await bus.connect();
console.log(`connected over ${bus.transport.name}`);

const server = createServer();
let changed = process.env.ADAPTER === 'roomcast';
const adapter = changed ? createAdapter(bus) : createRedisAdapter(pubClient, subClient);
const io = new Server(server, { adapter });
const tell = () => console.log(`uses ${io.of('/').adapter.constructor.name}`);
rooms(io);

function change() {
  if (changed) return;
  changed = true;
  io.adapter(createAdapter(bus));
  tell();
}
// Said by another server: it is answered by the adapter that it has asked with.
io.on('change adapter', (heard) => {
  heard();
  change();
});
async function changeAll() {
  try {
    await io.serverSideEmitWithAck('change adapter');
  } finally {
    change(); // also when one has not answered: the others have changed already
  }
}
io.on('connection', (socket) => {
  socket.on('change', (done) =>
    changeAll().then(
      () => done('all servers have changed'),
      (error) => done(`tell each server by itself (${error.message})`),
    ),
  );
});
server.listen(process.env.PORT ?? 3000, () => {
  console.log(`listens on ${server.address().port}`);
  tell();
});
