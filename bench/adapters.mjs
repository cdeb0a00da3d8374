/*
 * Our Socket.IO adapter beside the Redis adapters, in one run: three servers in this process, on each adapter in turn.
 *
 * - joins: `await socket.join(room)` on one server, then an emit to the room on another: how many of 200 arrive
 * - acknowledged: a broadcast to 200 clients of another server until all have acknowledged it, median of 20
 * - message: CPU time of this process, with three servers and the client, for a message to a room with one member elsewhere
 *
 *   npm run build && REDIS_URL=redis://… RABBITMQ_URL=amqp://… node bench/adapters.mjs
 */
import { createAdapter as createRedisAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { Bus, createAdapter, memory, rabbitmq, redis } from '../dist/libs/broadcast/src/index.js';

const { REDIS_URL, RABBITMQ_URL } = process.env;
const JOINS = 200;
const CLIENTS = 200;
const BROADCASTS = 20;
const MESSAGES = 10_000;

const shared = memory();
const adapters = {
  'ours, memory': ours(() => shared),
  ...(REDIS_URL && {
    'ours, Redis': ours(() => redis({ url: REDIS_URL })),
    'redis-adapter, classic': theirs((a, b) => createRedisAdapter(a, b)),
    'redis-adapter, sharded': theirs((a, b) => createShardedAdapter(a, b)),
  }),
  ...(RABBITMQ_URL && { 'ours, RabbitMQ': ours(() => rabbitmq({ url: RABBITMQ_URL })) }),
};

for (const [name, open] of Object.entries(adapters)) {
  const servers = await Promise.all([1, 2, 3].map(() => serve(open)));
  await pause(500);
  const [here, there] = servers;
  const joins = await countJoins(here, there);
  const acknowledged = await timeAcknowledgements(here, there);
  const message = await costOfMessages(here, there);
  console.log(`${name.padEnd(23)} joins ${joins} of ${JOINS}, acknowledged ${acknowledged} ms, message ${message} µs`);
  for (const { server, close } of servers) {
    await server.close();
    await close();
  }
}
process.exit();

async function countJoins(here, there) {
  const client = await connect(there);
  let heard = 0;
  client.client.on('joined', () => heard++);
  for (let i = 0; i < JOINS; i++) {
    await client.socket.join(`join-${i}`);
    here.server.to(`join-${i}`).emit('joined');
  }
  await pause(500);
  client.client.disconnect();
  return heard;
}

async function timeAcknowledgements(here, there) {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(there)));
  for (const { client } of clients) client.on('ask', (answer) => answer('yes'));
  const times = [];
  for (let i = 0; i < BROADCASTS; i++) {
    const from = performance.now();
    const answers = await here.server.timeout(20_000).emitWithAck('ask');
    if (answers.length !== CLIENTS) throw new Error(`${answers.length} answers`);
    times.push(performance.now() - from);
  }
  for (const { client } of clients) client.disconnect();
  await pause(200);
  return times.sort((a, b) => a - b)[BROADCASTS / 2].toFixed(1);
}

async function costOfMessages(here, there) {
  const { client, socket } = await connect(there);
  await socket.join('busy');
  await pause(100);
  let heard = 0;
  client.on('news', () => heard++);
  const from = process.cpuUsage();
  for (let i = 0; i < MESSAGES; i++) {
    here.server.to('busy').emit('news', { text: 'x'.repeat(200) });
    if (i % 50 === 49) await pause(1);
  }
  while (heard < MESSAGES) await pause(5);
  const { user, system } = process.cpuUsage(from);
  client.disconnect();
  return Math.round((user + system) / MESSAGES);
}

function ours(transport) {
  return async () => {
    const bus = new Bus(transport());
    await bus.connect();
    return { adapter: createAdapter(bus), close: () => bus.close() };
  };
}

function theirs(create) {
  return async () => {
    const clients = [new Redis(REDIS_URL), new Redis(REDIS_URL)];
    return { adapter: create(...clients), close: async () => clients.forEach((client) => client.disconnect()) };
  };
}

async function serve(open) {
  const { adapter, close } = await open();
  const http = createServer();
  const server = new Server(http, { adapter });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  return { server, close, url: `http://127.0.0.1:${http.address().port}` };
}

async function connect({ server, url }) {
  const client = io(url, { forceNew: true, transports: ['websocket'] });
  await new Promise((resolve) => client.on('connect', resolve));
  return { client, socket: server.of('/').sockets.get(client.id) };
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
