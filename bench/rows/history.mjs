/*
 * What rooms with history are good for: 5,000 of them caught up after an outage in which each missed a message, and a long
 * one read back.
 */
import { Rounds, together } from '../rounds.mjs';
import { openAll } from './transports.mjs';

export const history = {
  title: 'Catching up and reading back',
  brokers: ['redis', 'rabbitmq'],
  async run(bench) {
    const [rooms, messages] = [bench.size(5_000, 100), bench.size(100_000, 1_000)];
    const kept = { size: messages, ttl: 600_000 };
    let count = 0;
    // New processes each time: what was heard before must not be at hand.
    const measure = async (_, name) => {
      const [[, buses]] = await openAll(bench, kept, [name]);
      const read = name === 'memory' ? {} : await buses.call('catchUp', `room-${++count}-`, rooms);
      const record = { ...read, ...(await buses.call('readBack', `long-${++count}`, messages)) };
      await buses.stop();
      return record;
    };
    const names = ['memory', 'Redis', 'RabbitMQ'].map((name) => [name, name]);
    const rounds = await Rounds.of(bench, names, measure, { what: 'history', warm: false });
    return together(
      rounds.figures({ what: `${rooms} rooms caught up, the connection included`, unit: 'ms', key: 'ms' }),
      rounds.figures({ what: `${messages} messages read back`, unit: 'messages/s', key: 'rate' }),
    );
  },
};
