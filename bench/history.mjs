/*
 * What histories cost: CPU of a publish and its delivery with history and without, latency, catching up after a reconnect, and
 * reading back. Ratios of one run, taken in turn.
 *
 *   npm run build && REDIS_URL=redis://… RABBITMQ_URL=amqp://… node bench/history.mjs
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Bus, encode, memory, rabbitmq, redis, ulid } from '../dist/libs/broadcast/src/index.js';

const PUBLISHES = 20_000;
const WINDOW = 100;
const PAIRS = 5;
const CATCH_UP_ROOMS = 5_000;
const READ_BACK = 100_000;
const shared = memory();
const prefix = `bench-${process.pid}.`;
const transports = {
  memory: () => shared,
  ...(process.env.REDIS_URL && { redis: () => redis({ url: process.env.REDIS_URL, prefix }) }),
  ...(process.env.RABBITMQ_URL && { rabbitmq: () => rabbitmq({ url: process.env.RABBITMQ_URL, prefix }) }),
};

console.log(
  `Node ${process.version}, ${PUBLISHES} messages of 100 bytes, ${WINDOW} under way, ${PAIRS} pairs, medians\n`,
);
for (const [name, make] of Object.entries(transports)) {
  const history = { size: READ_BACK, ttl: 600_000 };
  const kept = await pair(make, { history });
  const live = await pair(make, {});
  const costs = [];
  for (let i = 0; i < PAIRS; i++) {
    const plain = await publishing(live, false);
    const stored = await publishing(kept, true);
    costs.push({ plain, stored, ratio: stored / plain });
  }
  const { plain, stored, ratio } = costs.sort((a, b) => a.ratio - b.ratio)[Math.floor(PAIRS / 2)];
  row(name, 'CPU per message, two instances', `${us(plain)} live, ${us(stored)} kept: ${ratio.toFixed(2)}`);
  const delays = [];
  for (let i = 0; i < PAIRS; i++) delays.push({ live: await latency(live, false), kept: await latency(kept, true) });
  const [fast, slow] = [median(delays.map((each) => each.live)), median(delays.map((each) => each.kept))];
  row(
    name,
    'p50 at 1,000 messages a second',
    `${fast.toFixed(2)} ms live, ${slow.toFixed(2)} ms kept: ${(slow / fast).toFixed(2)}`,
  );
  await readBack(name, kept);
  if (name !== 'memory') await catchUp(name, make, history);
  await Promise.all([...kept, ...live].map((bus) => bus.close()));
}

async function pair(make, options) {
  const buses = [new Bus(make(), options), new Bus(make(), options)];
  for (const bus of buses) bus.on('error', ({ message }) => console.error(message));
  await Promise.all(buses.map((bus) => bus.connect()));
  return buses;
}

function listen(bus, room, kept, heard) {
  return kept ? bus.logs.follow(room, heard) : bus.subscribe(`room:${room}`, heard);
}

function say(bus, room, kept, text) {
  const id = ulid();
  const payload = encode({ id, room, at: Date.now(), origin: bus.instance }, ['chat', text]);
  return kept ? bus.logs.append(room, payload, id) : bus.publish(`room:${room}`, payload);
}

/** CPU of this process per message that is published and heard on the other bus, in µs. */
async function publishing([speaker, hearer], kept) {
  let arrived = 0;
  const subscription = listen(hearer, 'cpu', kept, () => arrived++);
  await subscription.ready();
  const from = process.cpuUsage();
  let sent = 0;
  const worker = async () => {
    while (sent < PUBLISHES) {
      sent++;
      await say(speaker, 'cpu', kept, 'x'.repeat(100));
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, worker));
  while (arrived < PUBLISHES) await pause(1);
  const { user, system } = process.cpuUsage(from);
  subscription.close();
  return (user + system) / PUBLISHES;
}

async function latency([speaker, hearer], kept) {
  const took = [];
  const subscription = listen(hearer, 'latency', kept, (payload) => {
    const [, at] = /"(\d+\.\d+) /.exec(payload.toString()) ?? [];
    took.push(performance.now() - Number(at));
  });
  await subscription.ready();
  const from = performance.now();
  const count = 2_000;
  for (let sent = 0; sent < count;) {
    for (const due = Math.min(count, performance.now() - from); sent < due; sent++) {
      say(speaker, 'latency', kept, `${performance.now().toFixed(4)} ${'x'.repeat(80)}`).catch(console.error);
    }
    await pause(1);
  }
  while (took.length < count) await pause(5);
  subscription.close();
  return median(took.slice(200));
}

/** All of a room that has a hundred thousand messages, in pages. */
async function readBack(name, [, reader]) {
  const { entries } = await reader.logs.read('cpu', { limit: 1 });
  const from = performance.now();
  let read = 1;
  for (let before = entries[0].pos; read < READ_BACK - PUBLISHES;) {
    const page = await reader.logs.read('cpu', { before, limit: 20_000 });
    if (page.entries.length === 0) break;
    read += page.entries.length;
    before = page.entries[0].pos;
  }
  const seconds = (performance.now() - from) / 1_000;
  row(name, 'read back', `${read} messages at ${Math.round(read / seconds)} a second`);
}

/** The link is cut, one message is said in every room, and the link comes back. */
async function catchUp(name, make, history) {
  let lost;
  const transport = make();
  const watched = {
    ...transport,
    open: (events, options) => {
      lost = events.lost;
      return transport.open(events, options);
    },
  };
  const [speaker, hearer] = [new Bus(make(), { history }), new Bus(watched, { history, backoff: { base: 1 } })];
  hearer.on('error', () => undefined);
  await Promise.all([speaker.connect(), hearer.connect()]);
  let heard = 0;
  const rooms = Array.from({ length: CATCH_UP_ROOMS }, (_, i) => `catch-up-${i}`);
  await Promise.all(rooms.map((room) => hearer.logs.follow(room, () => heard++).ready(60_000)));
  await Promise.all(rooms.map((room) => say(speaker, room, true, 'before')));
  while (heard < CATCH_UP_ROOMS) await pause(5);
  const open = transport.open;
  let release;
  const held = new Promise((resolve) => (release = resolve));
  watched.open = async (...args) => {
    await held;
    return open(...args);
  };
  lost(new Error('cut by the measurement'));
  await Promise.all(rooms.map((room) => say(speaker, room, true, 'missed')));
  const from = performance.now();
  release();
  while (heard < 2 * CATCH_UP_ROOMS) await pause(1);
  row(
    name,
    'catching up',
    `${CATCH_UP_ROOMS} rooms in ${Math.round(performance.now() - from)} ms, the connection included`,
  );
  await Promise.all([speaker.close(), hearer.close()]);
}

function row(...cells) {
  console.log(`${cells[0].padEnd(9)} ${cells[1].padEnd(32)} ${cells[2]}`);
}

function us(value) {
  return `${value.toFixed(1)} µs`;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
