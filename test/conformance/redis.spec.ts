/*
 * Redis against the suite: the shared one, the same behind a gate, and one of its own that may be killed.
 */
import { Bus, redis } from '@app/broadcast';
import { conformance } from '@app/broadcast/testing';
import { Redis } from 'ioredis';
import { inspect } from 'node:util';
import { openGate, type Gate } from '../brokers/gate.js';
import { startRedis, type RedisProcess } from '../brokers/redis.js';

const url = process.env['TEST_REDIS_URL']!;
const gates: Gate[] = [];
let mortal: RedisProcess | undefined;
let observer: Redis;

beforeAll(() => {
  observer = new Redis(url);
});

afterAll(async () => {
  observer.disconnect();
  await Promise.all([...gates.map((gate) => gate.close()), mortal?.stop()]);
});

conformance(
  'redis',
  { network: true, redelivers: false, log: 'room' },
  {
    transport: (prefix) => redis({ url, prefix }),
    gated: async (prefix) => {
      const gate = await openGate(Number(new URL(url).port));
      gates.push(gate);
      return { gate, transport: redis({ url: gate.url(url), prefix }) };
    },
    mortal: async (prefix) => {
      mortal ??= await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
      return { broker: mortal, transport: redis({ url: mortal.url, prefix }) };
    },
    forget: async (prefix) => {
      const keys = await observer.keys(`{${prefix}*`);
      if (keys.length > 0) await observer.del(...keys);
    },
    leftovers: async (prefix) => (await observer.pubsub('CHANNELS', `${prefix}*`)) as string[],
  },
);

describe('redis, further', () => {
  it('says why a wrong password is refused, and shows it to no log', async () => {
    const { host } = new URL(url);
    const bus = new Bus(redis({ url: `redis://somebody:s3cret@${host}` }));
    const told: unknown[] = [];
    bus.on('error', (error) => told.push(error));
    const refusal: unknown = await bus.connect(1_000).catch((error: unknown) => error);
    await bus.close();
    expect(refusal).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(`at ${host} `) });
    expect(refusal).toMatchObject({ message: expect.stringContaining('WRONGPASS'), cause: expect.any(Error) });
    expect(told).toHaveLength(1);
    expect(inspect([refusal, told], { depth: Infinity, showHidden: true })).not.toContain('s3cret');
  });
});
