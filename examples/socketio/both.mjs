/*
 * On the way from the one to the other without a gap: starts on the Redis adapter, and changes when a client says
 * "change" to any of the servers. Yours would be told in a way that only you can.
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

const server = createServer();
const io = new Server(server, { adapter: createRedisAdapter(pubClient, subClient) });
rooms(io);

function change() {
  io.adapter(createAdapter(bus));
  console.log('changed');
}
// Said by another server: it is answered by the adapter that it has asked with.
io.on('change adapter', (heard) => {
  heard();
  change();
});
io.on('connection', (socket) => {
  socket.on('change', async (changed) => {
    await io.serverSideEmitWithAck('change adapter');
    change();
    changed();
  });
});
server.listen(process.env.PORT ?? 3000, () => console.log(`listens on ${server.address().port}`));
