/*
 * The process of one instance: a subject of the bench, and the meters that are read before and after each run.
 */
import { Session } from 'node:inspector/promises';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { answer } from './child.mjs';
import { speak, text } from './messages.mjs';
import { SUBJECTS } from './subjects.mjs';

/** Time between two looks at the event loop, in ms. */
const RESOLUTION = 1;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
/** One, or two that hear each other. */
const hosts = [];
let begun;
let profiler;

answer({
  async open(subject, options) {
    const host = await SUBJECTS[subject](options);
    hosts.push(host);
    return host.port;
  },

  /** @param {boolean} late whether the event loop is watched too, which costs a timer each ms */
  begin(late) {
    delay.reset();
    if (late) delay.enable();
    begun = { writes: writes(), cpu: process.cpuUsage() };
  },

  /** CPU in µs, write calls, and how late the event loop was, in ms (p99), since `begin()`. */
  end() {
    const { user, system } = process.cpuUsage(begun.cpu);
    delay.disable();
    const late = Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION);
    return { cpu: user + system, user, system, writes: writes() - begun.writes, late };
  },

  /** @param {{ room: string, rooms?: number, publish?: boolean }} speech and the pace; `rooms`: in turn, each with a number */
  async speak({ room, rooms, publish, ...pace }) {
    const [host] = hosts;
    const say = publish ? host.publish : host.emit.bind(host);
    const said = [];
    await speak((number, text) => {
      const done = say(rooms === undefined ? room : `${room}${number % rooms}`, text);
      if (publish) said.push(done);
    }, pace);
    host.flush?.(room);
    await Promise.all(said);
  },

  join: (prefix, rooms) => took(() => hosts[0].join(prefix, rooms)),
  cut: () => took(() => hosts[0].cut()),
  coalesce: (frames) => void hosts[0].coalesce(frames),

  ask: (room, clients) =>
    took(async () => {
      const { length } = await hosts[0].ask(room);
      if (length !== clients) throw Object.assign(new Error(`${length} of ${clients} answered`), { lost: true });
    }),

  /** A join on the second host is awaited, and then the first emits to the room: so many times. */
  async joinsThenEmits(prefix, count) {
    const [here, there] = hosts;
    for (let i = 0; i < count; i++) {
      await there.join(`${prefix}-${i}-`, 1);
      here.emit(`${prefix}-${i}-0`, text(i, 100));
    }
  },

  /** Bytes of what is in use after a collection of garbage. */
  memory() {
    for (let i = 0; i < 4; i++) globalThis.gc();
    const { heapUsed, external, rss } = process.memoryUsage();
    return { used: heapUsed + external, rss };
  },

  async profile() {
    profiler = new Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.setSamplingInterval', { interval: 200 });
    await profiler.post('Profiler.start');
  },

  async profiled() {
    const { profile } = await profiler.post('Profiler.stop');
    profiler.disconnect();
    return profile;
  },
});

async function took(work) {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

/** Calls of write and its like by this process so far, where the system counts them. */
function writes() {
  try {
    return Number(/^syscw: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
  } catch (error) {
    if (error.code === 'ENOENT') return NaN;
    throw error;
  }
}
