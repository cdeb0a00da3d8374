/*
 * P6: 10,000 rooms joined at once until every join is acknowledged, and heard again after a lost link; and what an awaited
 * join is worth: the emits of another instance, right after it, that arrive.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const OURS = 'Roomcast, Redis';
const SHARDED = 'sharded adapter';
const KEPT = 'Roomcast, RabbitMQ, with history';

export const P6 = {
  title: '10,000 rooms joined at once',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const rooms = bench.size(10_000, 100);
    const subjects = [
      [OURS, { subject: OURS, again: true }],
      [SHARDED, { subject: SHARDED }],
      ['Roomcast, RabbitMQ', { subject: 'Roomcast, RabbitMQ', again: true }],
      [KEPT, { subject: 'Roomcast, RabbitMQ', again: true, history: { size: 200, ttl: 600_000 } }],
    ];
    const joined = await Rounds.of(bench, subjects, (subject) => join(bench, subject, rooms), { what: 'P6' });
    const emits = bench.size(200, 20);
    const early = await Rounds.of(
      bench,
      [...subjects.slice(0, 3), ['redis-adapter', { subject: 'redis-adapter' }]],
      ({ subject }) => arrivals(bench, subject, emits),
      { what: 'P6, emits after awaited joins', warm: false },
    );
    const seconds = joined.of(OURS, 'seconds');
    return together(
      joined.figures({ what: `${rooms} rooms, until all joins resolve`, unit: 's', key: 'seconds' }),
      {
        ratios: [
          { what: 'all joins resolved', subject: OURS, against: '1 s', ...seconds, goal: 1, met: seconds?.median <= 1 },
        ],
      },
      joined.figures({ what: 'again after a lost link', unit: 's', key: 'again' }),
      early.figures({ what: `of ${emits} emits right after an awaited join, arrived`, unit: '', key: 'arrived' }),
      { notes: ['The Redis adapters resolve joins before the broker has answered: theirs is not the same promise.'] },
    );
  },
};

async function join(bench, { subject, again, history }, rooms) {
  const stage = await Stage.open(bench, subject, { alone: true, history });
  await stage.crowd({ clients: 10 });
  const seconds = (await stage.hearer.call('join', 'room-', rooms)) / 1_000;
  const record = { seconds, again: again ? (await stage.hearer.call('cut')) / 1_000 : NaN };
  await stage.close();
  return record;
}

/** Both servers are in one process, so that nothing comes between the join and the emit. */
async function arrivals(bench, subject, emits) {
  const stage = await Stage.open(bench, subject, { alone: true });
  const port = await stage.hearer.call('open', subject, { ...bench.urls, prefix: stage.prefix });
  await pause(1_000); // until the two know each other
  const crowd = await stage.crowd({ clients: 1, port });
  await stage.hearer.call('joinsThenEmits', 'early', emits);
  await pause(1_000);
  const arrived = await bench.load.call('heard', crowd.name);
  await stage.close();
  return { arrived };
}
