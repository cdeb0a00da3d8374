/*
 * An existing Socket.IO server, on the Redis adapter.
 */
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { rooms } from './rooms.mjs';

const pubClient = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379');
const subClient = pubClient.duplicate();

const server = createServer();
const io = new Server(server, { adapter: createAdapter(pubClient, subClient) });
rooms(io);
server.listen(process.env.PORT ?? 3000, () => console.log(`listens on ${server.address().port}`));
