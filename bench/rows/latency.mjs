/*
 * P3: from saying it on one instance until the last of 100 clients of another has it, at 1,000 messages a second.
 */
import { percentile, Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOM = 'latency';
const OURS = 'Roomcast, Redis';
const THEIRS = ['redis-adapter', 'sharded adapter', 'streams adapter'];

export const P3 = {
  title: 'Publish to the last of 100 receivers, 1,000 messages a second',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const clients = bench.size(100, 10);
    const count = bench.size(3_000, 100);
    const stages = [];
    for (const subject of [OURS, ...THEIRS, 'Roomcast, RabbitMQ']) {
      stages.push([subject, await Stage.open(bench, subject, { room: ROOM, clients, real: 2, receivers: clients })]);
    }
    const measure = async (stage) => {
      await stage.run({ speech: { room: ROOM, count, every: 1 }, deliveries: count * clients });
      const times = await stage.times();
      return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
    };
    const rounds = await Rounds.of(bench, stages, measure, { what: 'P3' });
    for (const [, stage] of stages) await stage.close();
    return together(
      ...['p50', 'p99'].map((key) =>
        rounds.figures({ what: key, unit: 'ms', key, ours: OURS, against: THEIRS, goal: 1 }),
      ),
    );
  },
};
