/*
 * Publish to delivery, from one bus to another in this process, at 1,000 messages a second: p50 and p99 per transport.
 *
 *   npm run build && REDIS_URL=redis://… RABBITMQ_URL=amqp://… node bench/latency.mjs
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Bus, memory, rabbitmq, redis } from '../dist/libs/broadcast/src/index.js';

const COUNT = 5_000;
const shared = memory();
const transports = {
  memory: () => shared,
  ...(process.env.REDIS_URL && { redis: () => redis({ url: process.env.REDIS_URL }) }),
  ...(process.env.RABBITMQ_URL && { rabbitmq: () => rabbitmq({ url: process.env.RABBITMQ_URL }) }),
};

console.log(`Node ${process.version}, ${COUNT} messages each, 100 bytes, 1,000 a second\n`);
for (const [name, make] of Object.entries(transports)) {
  const [speaker, hearer] = [new Bus(make()), new Bus(make())];
  await Promise.all([speaker.connect(), hearer.connect()]);
  const took = [];
  const subscription = hearer.subscribe('room:latency', (payload) => {
    took.push(performance.now() - Number(payload.toString()));
  });
  await subscription.ready();
  const from = performance.now();
  for (let sent = 0; sent < COUNT;) {
    for (const due = Math.min(COUNT, performance.now() - from); sent < due; sent++) {
      speaker.publish('room:latency', Buffer.from(String(performance.now()).padEnd(100))).catch(console.error);
    }
    await pause(1);
  }
  while (took.length < COUNT) await pause(5);
  took.splice(0, 500); // warming up
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.floor(took.length * share)].toFixed(2);
  console.log(`${name.padEnd(9)} p50 ${at(0.5)} ms   p99 ${at(0.99)} ms`);
  await Promise.all([speaker.close(), hearer.close()]);
}
