/*
 * P9: whether a message costs the same, however many rooms its instance hears: each room has one member, and what is said
 * goes round the rooms.
 */
import { Rounds, together } from '../rounds.mjs';
import { Stage } from '../stage.mjs';

const ROOMS = [10, 100, 1_000, 10_000];
const label = (rooms) => `${rooms.toLocaleString('en')} rooms`;

export const P9 = {
  title: 'CPU per message by the number of rooms',
  brokers: ['redis', 'rabbitmq'],
  run: async (bench) => together(await over(bench, 'Redis', 1.3), await over(bench, 'RabbitMQ')),
};

async function over(bench, broker, goal) {
  const count = bench.size(10_000, 100);
  const stages = [];
  for (const rooms of bench.quick ? [10, 100] : ROOMS) {
    const stage = await Stage.open(bench, `Roomcast, ${broker}`);
    await stage.crowd({ clients: 10 });
    await stage.hearer.call('join', 'room-', rooms);
    stages.push([label(rooms), { stage, rooms }]);
  }
  const measure = async ({ stage, rooms }) => {
    const speech = { room: 'room-', rooms, count, batch: 5 };
    const { hearer } = await stage.run({ speech, deliveries: count });
    return { cpu: hearer.cpu / count };
  };
  const rounds = await Rounds.of(bench, stages, measure, { what: `P9, ${broker}` });
  for (const [, { stage }] of stages) await stage.close();
  const [[fewest], ...more] = stages;
  const figure = { what: `CPU per message, ${broker}`, unit: 'µs', key: 'cpu' };
  const { figures } = rounds.figures(figure);
  const ratios = more.flatMap(([ours]) => rounds.figures({ ...figure, ours, against: fewest, goal }).ratios);
  return { figures, ratios: ratios.map((ratio) => ({ ...ratio, what: `${figure.what}, ${ratio.subject}` })) };
}
