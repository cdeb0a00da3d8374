/*
 * P2: what a message costs an instance that has clients, and none of them in the message's room. What the instance does
 * anyway, heartbeats and probes, is measured while nothing is said, and taken off: it is small beside what an adapter does
 * with each message, and all that there is where nothing is done.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Rounds } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOM = 'elsewhere';
const OURS = 'Roomcast, Redis';
const SUBJECTS = [OURS, 'redis-adapter', 'sharded adapter', 'streams adapter', 'Roomcast, RabbitMQ'];

export const P2 = {
  title: 'CPU per message on an instance without a member of the room',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const count = bench.size(40_000, 500);
    const silence = bench.size(4_000, 200);
    const stages = [];
    for (const subject of SUBJECTS) {
      const stage = await Stage.open(bench, subject, { room: ROOM, clients: 1, bystander: true });
      await stage.crowd({ at: stage.bystander, room: 'here', clients: 10 });
      stages.push([subject, stage]);
    }
    const speech = { room: ROOM, count, batch: 20 };
    const measure = async (stage) => {
      await stage.bystander.call('begin');
      await pause(silence);
      const idle = (await stage.bystander.call('end')).cpu / silence;
      const from = performance.now();
      const { bystander } = await stage.run({ speech, deliveries: count });
      return { cpu: (bystander.cpu - idle * (performance.now() - from)) / count, idle };
    };
    const rounds = await Rounds.of(bench, stages, measure, { what: 'P2' });
    for (const [, stage] of stages) await stage.close();
    const figure = { what: 'CPU per message', unit: 'µs', key: 'cpu', ours: OURS };
    const { figures, ratios } = rounds.figures({ ...figure, against: 'redis-adapter', goal: 0.01 });
    ratios.push(...rounds.figures({ ...figure, against: ['sharded adapter', 'streams adapter'] }).ratios);
    figures.push(...rounds.figures({ what: 'CPU per second of silence', unit: 'ms', key: 'idle' }).figures);
    return { figures, ratios, notes: [] };
  },
};
