/*
 * P1, P1b and P5: what a delivery costs the instance that delivers: 200 clients in one room, and another instance that says 100
 * bytes at a time, at three paces. And how far that is from a loop which does nothing but write frames.
 */
import { profile } from '../profiling.mjs';
import { Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOM = 'fan-out';
const OURS = 'Roomcast, Redis';
const THEIRS = ['redis-adapter', 'sharded adapter', 'streams adapter'];
/** As a service says it: with an id and meta, into a history. */
const KEPT = 'Roomcast, Redis, with history';
const BESIDE = ['ws by hand', 'Roomcast, RabbitMQ'];

export const P1 = {
  title: 'CPU per delivery, 5 messages per ms',
  brokers: ['redis', 'rabbitmq'],
  run: (bench) => paced(bench, 'P1', { batch: 5, every: 1, messages: 1_000 }, [OURS, ...THEIRS, ...BESIDE], 0.2),
};

export const P1b = {
  title: 'CPU per delivery, 40 messages per ms, and 1 per 5 ms',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const subjects = [OURS, 'redis-adapter', 'ws by hand', 'Roomcast, RabbitMQ'];
    return together(
      await paced(bench, 'P1b', { batch: 40, every: 1, messages: 1_200 }, subjects, 0.1),
      await paced(bench, 'P1b', { batch: 1, every: 5, messages: 300 }, subjects, 0.8),
    );
  },
};

export const P5 = {
  title: 'Deliveries per CPU-second, beside bare writes',
  brokers: ['redis'],
  async run(bench) {
    const { clients, messages } = sizes(bench, 4_000);
    const ours = await Stage.open(bench, OURS, { room: ROOM, clients, real: 2 });
    const bare = await Stage.open(bench, 'bare writes', { room: ROOM, clients, alone: true });
    let coalesce = 1;
    const rounds = await Rounds.of(
      bench,
      [
        [OURS, ours],
        ['bare writes', bare],
      ],
      async (stage, name) => {
        // In one write as many frames as ours just had: what is compared is the work around the writes.
        if (name !== OURS) await stage.hearer.call('coalesce', coalesce);
        const batch = name === OURS ? 5 : Math.max(5, coalesce);
        const pace = { batch, every: batch / 5 };
        const deliveries = messages * clients;
        const { hearer } = await stage.run({ speech: { room: ROOM, count: messages, ...pace }, deliveries });
        const record = costOf(hearer, deliveries);
        if (name === OURS) coalesce = Math.max(1, Math.round(record['deliveries per write'] || 1));
        return record;
      },
      { what: 'P5' },
    );
    if (bench.profile) {
      const speech = { room: ROOM, count: messages, batch: 5, every: 1 };
      await profile(bench, ours, { what: 'beside bare writes', speech, deliveries: messages * clients });
    }
    await Promise.all([ours.close(), bare.close()]);
    const goal = { ours: OURS, against: 'bare writes', goal: 0.75, atLeast: true };
    return together(
      rounds.figures({ what: 'CPU per delivery', unit: 'µs', key: 'cpu', ...goal }),
      rounds.figures({ what: 'deliveries per write', unit: '', key: 'deliveries per write' }),
    );
  },
};

async function paced(bench, row, { batch, every, messages: full }, subjects, goal) {
  const { clients, messages } = sizes(bench, full);
  const pace = every === 1 ? `${batch} messages per ms` : `1 message per ${every} ms`;
  const stages = [];
  for (const subject of subjects) {
    stages.push([subject, await Stage.open(bench, subject, { room: ROOM, clients, real: 2 })]);
  }
  const history = { size: 200, ttl: 600_000 };
  stages.push([KEPT, await Stage.open(bench, OURS, { room: ROOM, clients, real: 2, history })]);
  const speech = { room: ROOM, count: messages, batch, every };
  const deliveries = messages * clients;
  const measure = async (stage, name) => {
    const { hearer } = await stage.run({ speech: { ...speech, publish: name === KEPT }, deliveries });
    return costOf(hearer, deliveries);
  };
  const rounds = await Rounds.of(bench, stages, measure, { what: `${row}, ${pace}` });
  const profiled = bench.profile ? stages.slice(0, 2) : [];
  for (const [, stage] of profiled) await profile(bench, stage, { what: pace, speech, deliveries });
  for (const [, stage] of stages) await stage.close();
  const figure = { what: `CPU per delivery, ${pace}`, unit: 'µs', key: 'cpu', ours: OURS };
  const others = subjects.filter((subject) => THEIRS.includes(subject) && subject !== 'redis-adapter');
  return together(
    rounds.figures({ ...figure, against: 'redis-adapter', goal }),
    { ratios: rounds.figures({ ...figure, against: [...others, 'ws by hand'] }).ratios },
    rounds.figures({ what: `deliveries per write, ${pace}`, unit: '', key: 'deliveries per write' }),
  );
}

function sizes(bench, messages) {
  return { clients: bench.size(200, 10), messages: bench.size(messages, 50) };
}

function costOf({ cpu, user, system, writes }, deliveries) {
  return {
    cpu: cpu / deliveries,
    user: user / deliveries,
    system: system / deliveries,
    'deliveries per write': deliveries / writes,
  };
}
