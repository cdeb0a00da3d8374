/*
 * 10,000 rooms joined at once, until the broker has acknowledged every one; and again after a reconnect.
 *
 *   npm run build && REDIS_URL=redis://… RABBITMQ_URL=amqp://… node bench/rooms.mjs
 */
import { Bus, rabbitmq, redis } from '../dist/libs/broadcast/src/index.js';

const ROOMS = 10_000;
const transports = {
  ...(process.env.REDIS_URL && { redis: redis({ url: process.env.REDIS_URL }) }),
  ...(process.env.RABBITMQ_URL && { rabbitmq: rabbitmq({ url: process.env.RABBITMQ_URL }) }),
};

for (const [name, transport] of Object.entries(transports)) {
  const links = [];
  const watched = {
    ...transport,
    open: async (events, options) => {
      links.push(events);
      return transport.open(events, options);
    },
  };
  const bus = new Bus(watched, { backoff: { base: 1 } });
  bus.on('error', () => undefined);
  await bus.connect();
  const rooms = Array.from({ length: ROOMS }, (_, i) => bus.subscribe(`room:${i}`, () => undefined));
  const joined = await took(() => Promise.all(rooms.map((room) => room.ready(60_000))));
  const down = new Promise((resolve) => bus.once('state', resolve));
  links.at(-1).lost(new Error('cut by the measurement'));
  await down;
  const back = await took(() => bus.ready(60_000));
  console.log(`${name.padEnd(9)} ${ROOMS} rooms acknowledged in ${joined} ms, again after a reconnect in ${back} ms`);
  await bus.close();
}

async function took(work) {
  const from = performance.now();
  await work();
  return Math.round(performance.now() - from);
}
