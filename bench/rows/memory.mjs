/*
 * P8: memory of a connection that does nothing, of 5,000 on one instance. A new process each time; the first connections
 * are not counted, because they load what all share.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const OURS = 'Roomcast, Redis';
const ALONE = 'socket.io alone';
const KB = 1_024;

export const P8 = {
  title: 'Memory of an idle connection',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const [first, clients] = [bench.size(200, 10), bench.size(5_000, 100)];
    const subjects = [OURS, ALONE, 'redis-adapter', 'Roomcast, RabbitMQ'].map((subject) => [subject, subject]);
    const measure = async (subject) => {
      const stage = await Stage.open(bench, subject, { alone: true, execArgv: ['--expose-gc'] });
      await stage.crowd({ clients: first });
      const before = await settled(stage);
      await stage.crowd({ clients: clients - first });
      const after = await settled(stage);
      await stage.close();
      const each = (key) => (after[key] - before[key]) / (clients - first) / KB;
      return { used: each('used'), rss: each('rss') };
    };
    const rounds = await Rounds.of(bench, subjects, measure, { what: 'P8', warm: false });
    const used = { what: 'in use, after garbage collection', unit: 'KiB', key: 'used', ours: OURS };
    return together(
      rounds.figures({ ...used, against: ALONE, goal: 1 }),
      { ratios: rounds.figures({ ...used, against: 'redis-adapter' }).ratios },
      rounds.figures({ what: 'resident', unit: 'KiB', key: 'rss', ours: OURS, against: ALONE }),
    );
  },
};

async function settled({ hearer }) {
  await pause(500);
  return hearer.call('memory');
}
