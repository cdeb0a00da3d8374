/*
 * The process of two buses that hear each other, without sockets: what a transport costs by itself. Both are in one process,
 * because the embedded transport does not leave it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Bus, encode, memory, rabbitmq, redis, ulid } from '../dist/libs/broadcast/src/index.js';
import { answer } from './child.mjs';
import { speak } from './messages.mjs';
import { percentile } from './rounds.mjs';

/** Messages that have not been accepted yet, at a time. */
const WINDOW = 100;
const PAGE = 20_000;
const shared = memory();
const transports = {
  memory: () => shared,
  Redis: (urls, prefix) => redis({ url: urls.redis, prefix }),
  RabbitMQ: (urls, prefix) => rabbitmq({ url: urls.rabbitmq, prefix }),
};
let speaker;
let hearer;
let link;
let reopen = Promise.resolve();

answer({
  /** @param {{ size: number, ttl: number }} history */
  async open(name, urls, prefix, history) {
    const transport = transports[name](urls, prefix);
    const watched = { ...transport, open: async (events, how) => (await reopen, transport.open((link = events), how)) };
    speaker = new Bus(transport, { ...(history && { history }) });
    hearer = new Bus(watched, { backoff: { base: 1 }, ...(history && { history }) });
    for (const bus of [speaker, hearer]) bus.on('error', ({ message }) => console.error(message));
    await Promise.all([speaker.connect(), hearer.connect()]);
  },

  /** From saying it until a listener of the other bus has it, at 1,000 a second, in ms. */
  async latency(room, count) {
    const times = [];
    const moment = /"(\d+\.\d+) /;
    const close = await listen(room, (payload) => times.push(performance.now() - moment.exec(payload)[1]));
    const say = () => publish(room, `${performance.now().toFixed(4)} ${'x'.repeat(80)}`);
    const said = [];
    await speak(() => said.push(say()), { count });
    await Promise.all(said);
    await until(() => times.length === count);
    close();
    return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  },

  /** As fast as it goes, with a bounded number under way: messages a second, and CPU of the process for each, in µs. */
  async throughput(room, count) {
    let heard = 0;
    const close = await listen(room, () => heard++);
    const from = performance.now();
    const before = process.cpuUsage();
    let sent = 0;
    const worker = async () => {
      while (sent++ < count) await publish(room, 'x'.repeat(100));
    };
    await Promise.all(Array.from({ length: WINDOW }, worker));
    await until(() => heard === count);
    const { user, system } = process.cpuUsage(before);
    close();
    return { rate: count / ((performance.now() - from) / 1_000), cpu: (user + system) / count };
  },

  /** Rooms that are listened to at once: ms until all are acknowledged, and bytes for each. */
  async rooms(prefix, count) {
    const before = used();
    const from = performance.now();
    const rooms = Array.from({ length: count }, (_, i) => subscribe(`${prefix}${i}`, () => {}));
    await Promise.all(rooms.map((room) => room.ready(60_000)));
    const ms = performance.now() - from;
    const bytes = (used() - before) / count;
    for (const room of rooms) room.close();
    return { ms, bytes };
  },

  /** Messages a second, when a room with history is read from its end to its beginning. */
  async readBack(room, count) {
    for (let left = count; left > 0; left -= WINDOW) {
      await Promise.all(Array.from({ length: WINDOW }, () => publish(room, 'x'.repeat(100))));
    }
    const from = performance.now();
    let before;
    let read = 0;
    for (let page; page?.length !== 0; read += page.length) {
      page = (await hearer.logs.read(room, { before, limit: PAGE })).entries;
      before = page[0]?.pos;
    }
    if (read < count) throw Object.assign(new Error(`${read} of ${count} were read back`), { lost: true });
    return { rate: read / ((performance.now() - from) / 1_000) };
  },

  /** The link is cut, one message is said in every room, the link comes back: ms until all have been heard. */
  async catchUp(prefix, count) {
    let heard = 0;
    const rooms = Array.from({ length: count }, (_, i) => `${prefix}${i}`);
    const feeds = rooms.map((room) => subscribe(room, () => heard++));
    await Promise.all(feeds.map((feed) => feed.ready(60_000)));
    await Promise.all(rooms.map((room) => publish(room, 'before')));
    await until(() => heard === count);
    let release;
    reopen = new Promise((resolve) => (release = resolve));
    hearer.removeAllListeners('error').on('error', () => {});
    link.lost(new Error('cut by the measurement'));
    await Promise.all(rooms.map((room) => publish(room, 'missed')));
    const from = performance.now();
    release();
    await until(() => heard === 2 * count);
    const ms = performance.now() - from;
    for (const feed of feeds) feed.close();
    return { ms };
  },
});

function subscribe(room, heard) {
  return hearer.logs.historyOf(room) ? hearer.logs.follow(room, heard) : hearer.subscribe(`room:${room}`, heard);
}

async function listen(room, heard) {
  const subscription = subscribe(room, heard);
  await subscription.ready();
  return () => subscription.close();
}

function publish(room, text) {
  const id = ulid();
  const payload = encode({ id, room, at: Date.now(), origin: speaker.instance }, ['chat', text]);
  return speaker.logs.historyOf(room)
    ? speaker.logs.append(room, payload, id)
    : speaker.publish(`room:${room}`, payload);
}

function used() {
  for (let i = 0; i < 4; i++) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function until(isDone) {
  const patience = performance.now() + 60_000;
  while (!isDone()) {
    if (performance.now() > patience) throw Object.assign(new Error('messages did not arrive'), { lost: true });
    await pause(1);
  }
}
