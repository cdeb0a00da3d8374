/*
 * Choosing a transport: what each costs by itself, between two buses, without sockets; live and into a history.
 */
import { Rounds, show, together } from '../rounds.mjs';

const NAMES = ['memory', 'Redis', 'RabbitMQ'];
const HISTORY = { size: 100_000, ttl: 600_000 };

export const transports = {
  title: 'Memory, Redis and RabbitMQ',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const live = await measured(bench, 'live', undefined);
    const kept = await measured(bench, 'with history', HISTORY);
    const rooms = await joined(bench, 'live', undefined);
    const keptRooms = await joined(bench, 'with history', HISTORY);
    const messages = [
      ['latency, p50', 'ms', 'p50'],
      ['latency, p99', 'ms', 'p99'],
      ['throughput', 'messages/s', 'rate'],
      ['CPU per message, both sides', 'µs', 'cpu'],
    ];
    const joins = [
      ['rooms joined at once', 'ms', 'ms'],
      ['memory per room', 'bytes', 'bytes'],
    ];
    const of = (rounds, kind, figures) =>
      figures.map(([what, unit, key]) => rounds.figures({ what: `${what}, ${kind}`, unit, key }));
    const percentiles = (rounds, name) => ['p50', 'p99'].map((key) => show(rounds.of(name, key)?.median)).join(' / ');
    const both = (all, name, key) => all.map((rounds) => show(rounds.of(name, key)?.median)).join(' / ');
    const table = [
      ['', ...NAMES],
      ['---', ...NAMES.map(() => '---')],
      ['latency at 1,000 messages a second, p50 / p99, live', ...NAMES.map((name) => `${percentiles(live, name)} ms`)],
      ['… with history', ...NAMES.map((name) => `${percentiles(kept, name)} ms`)],
      ['messages a second, live / with history', ...NAMES.map((name) => both([live, kept], name, 'rate'))],
      ['CPU per message, both sides, the same', ...NAMES.map((name) => `${both([live, kept], name, 'cpu')} µs`)],
      ['10,000 rooms joined at once, the same', ...NAMES.map((name) => `${both([rooms, keptRooms], name, 'ms')} ms`)],
      ['memory per room, the same', ...NAMES.map((name) => `${both([rooms, keptRooms], name, 'bytes')} bytes`)],
    ];
    const reports = [
      ...[...of(live, 'live', messages), ...of(kept, 'with history', messages)],
      ...[...of(rooms, 'live', joins), ...of(keptRooms, 'with history', joins)],
    ];
    return { ...together(...reports), table };
  },
};

async function measured(bench, kind, history) {
  const processes = await openAll(bench, history);
  let count = 0;
  const measure = async (buses) => {
    const name = `room-${++count}`;
    const latency = await buses.call('latency', `${name}-latency`, bench.size(2_000, 100));
    const throughput = await buses.call('throughput', `${name}-throughput`, bench.size(20_000, 500));
    return { ...latency, ...throughput };
  };
  const rounds = await Rounds.of(bench, processes, measure, { what: `transports, ${kind}` });
  for (const [, buses] of processes) await buses.stop();
  return rounds;
}

/** New processes each time: rooms that linger are not to be in another measurement. */
async function joined(bench, kind, history) {
  const measure = async (_, name) => {
    const [[, buses]] = await openAll(bench, history, [name]);
    const record = await buses.call('rooms', 'room-', bench.size(10_000, 100));
    await buses.stop();
    return record;
  };
  const names = NAMES.map((name) => [name, name]);
  return Rounds.of(bench, names, measure, { what: `transports, rooms ${kind}`, warm: false });
}

export async function openAll(bench, history, names = NAMES) {
  return Promise.all(
    names.map(async (name) => {
      const buses = bench.start('./buses.mjs', { args: [name], execArgv: ['--expose-gc'] });
      await buses.call('open', name, bench.urls, bench.prefix(), history);
      return [name, buses];
    }),
  );
}
