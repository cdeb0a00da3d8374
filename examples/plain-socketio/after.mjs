/*
 * The same server on Roomcast: over the broker that BROADCAST_TRANSPORT names, memory, redis or rabbitmq.
 */
import { createAdapter, createBus } from '@roomcast/broadcast';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { rooms } from './rooms.mjs';

const bus = createBus();
await bus.connect();
console.log(`connected over ${bus.transport.name}`);

const server = createServer();
const io = new Server(server, { adapter: createAdapter(bus) });
rooms(io);
server.listen(process.env.PORT ?? 3000, () => console.log(`listens on ${server.address().port}`));
