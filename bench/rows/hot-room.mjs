/*
 * P7: one room of 5,000 clients that hears 20 messages a second, beside 100 small rooms on the same instance: how late its
 * event loop is, and how long the small rooms' messages take. The small rooms' clients have a process of their own, so that
 * they do not wait for those of the large one.
 */
import { percentile, Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const OURS = 'Roomcast, Redis';
const SUBJECTS = [OURS, 'redis-adapter', 'Roomcast, RabbitMQ'];

export const P7 = {
  title: 'A room of 5,000 beside 100 small rooms',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const clients = bench.size(5_000, 100);
    const seconds = bench.size(5, 1);
    const small = bench.size(100, 10);
    const load = bench.start('./load.mjs');
    const stages = [];
    for (const subject of SUBJECTS) {
      bench.say(`P7  connecting ${clients} clients to ${subject}`);
      const stage = await Stage.open(bench, subject, { room: 'large', clients, late: true });
      const crowd = await stage.crowd({ load, room: 'small-', rooms: small, clients: small, receivers: 1 });
      stages.push([subject, { stage, crowd }]);
    }
    const large = { room: 'large', count: 20 * seconds, every: 50 };
    const others = { room: 'small-', rooms: small, count: 200 * seconds, every: 5 };
    const measure = async ({ stage, crowd }) => {
      const { hearer } = await stage.run(
        { speech: large, deliveries: large.count * clients },
        { speech: others, deliveries: others.count, crowd },
      );
      const times = await stage.times(crowd);
      return { delay: hearer.late, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
    };
    const rounds = await Rounds.of(bench, stages, measure, { what: 'P7' });
    for (const [, { stage }] of stages) await stage.close();
    await load.stop();
    const delay = rounds.of(OURS, 'delay');
    const ratio = delay && Object.fromEntries(['median', 'least', 'most'].map((each) => [each, delay[each] / 20]));
    return together(
      rounds.figures({ what: 'event loop delay, p99', unit: 'ms', key: 'delay' }),
      {
        ratios: [
          {
            what: 'event loop delay, p99',
            subject: OURS,
            against: '20 ms',
            ...ratio,
            goal: 1,
            met: ratio?.median <= 1,
          },
        ],
      },
      rounds.figures({ what: 'small rooms, p50', unit: 'ms', key: 'p50' }),
      rounds.figures({
        what: 'small rooms, p99',
        unit: 'ms',
        key: 'p99',
        ours: OURS,
        against: 'redis-adapter',
        goal: 0.5,
      }),
    );
  },
};
