/*
 * A broadcast to 200 clients of another instance, until all of them have acknowledged it.
 */
import { Rounds } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOM = 'asked';
const OURS = 'Roomcast, Redis';
const THEIRS = ['redis-adapter', 'sharded adapter', 'streams adapter'];

export const acks = {
  title: 'A broadcast until 200 clients have acknowledged it',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const clients = bench.size(200, 10);
    const broadcasts = bench.size(50, 2);
    const stages = [];
    for (const subject of [OURS, ...THEIRS, 'Roomcast, RabbitMQ']) {
      stages.push([subject, await Stage.open(bench, subject, { room: ROOM, clients })]);
    }
    const measure = async ({ speaker }) => {
      let total = 0;
      for (let i = 0; i < broadcasts; i++) total += await speaker.call('ask', ROOM, clients);
      return { ms: total / broadcasts };
    };
    const rounds = await Rounds.of(bench, stages, measure, { what: 'acks' });
    for (const [, stage] of stages) await stage.close();
    return {
      ...rounds.figures({ what: 'until the last acknowledgement', unit: 'ms', key: 'ms', ours: OURS, against: THEIRS }),
      notes: [],
    };
  },
};
