/*
 * P4: what saying something costs the instance that says it. One client on another instance hears it. Beside it, what a
 * service says (with an id, accepted by the broker), in a room without history and in one with.
 */
import { profile } from '../profiling.mjs';
import { Rounds } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOM = 'publishing';
const OURS = 'Roomcast, Redis';

export const P4 = {
  title: 'CPU per publish on the instance that says it',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const count = bench.size(8_000, 200);
    const history = { size: 200, ttl: 600_000 };
    const subjects = [
      [OURS],
      ['redis-adapter'],
      ['sharded adapter'],
      ['streams adapter'],
      ['Roomcast, RabbitMQ'],
      [OURS, { publish: true }],
      [OURS, { publish: true, history }],
      ['Roomcast, RabbitMQ', { publish: true }],
      ['Roomcast, RabbitMQ', { publish: true, history }],
    ];
    const stages = [];
    for (const [subject, { publish = false, history: kept } = {}] of subjects) {
      const name = `${subject}${kept ? ', accepted into a history' : publish ? ', accepted' : ''}`;
      const stage = await Stage.open(bench, subject, { room: ROOM, clients: 1, history: kept });
      stages.push([name, { stage, publish }]);
    }
    const speech = { room: ROOM, count, batch: 20, every: 4 };
    const measure = async ({ stage, publish }) => {
      const { speaker } = await stage.run({ speech: { ...speech, publish }, deliveries: count });
      return { cpu: speaker.cpu / count };
    };
    const rounds = await Rounds.of(bench, stages, measure, { what: 'P4' });
    for (const [, { stage }] of bench.profile ? stages.slice(0, 2) : []) {
      await profile(bench, stage, {
        instance: stage.speaker,
        who: 'speaks',
        what: 'publishing',
        speech,
        deliveries: count,
      });
    }
    for (const [, { stage }] of stages) await stage.close();
    const figure = { what: 'CPU per publish', unit: 'µs', key: 'cpu', ours: OURS };
    const { figures, ratios } = rounds.figures({ ...figure, against: 'redis-adapter', goal: 0.7 });
    ratios.push(...rounds.figures({ ...figure, against: ['sharded adapter', 'streams adapter'] }).ratios);
    return { figures, ratios, notes: [] };
  },
};
