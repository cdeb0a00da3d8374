/*
 * Jobs on each transport against their suite: over the shared brokers, the same behind a gate, and ones that may be killed.
 */
import { memory, rabbitmq, redis } from '@app/broadcast';
import { jobsConformance } from '@app/broadcast/testing';
import { connect, type ChannelModel } from 'amqplib';
import { Redis } from 'ioredis';
import { openGate, type Gate } from '../brokers/gate.js';
import { startRabbitmq, type RabbitmqProcess } from '../brokers/rabbitmq.js';
import { startRedis, type RedisProcess } from '../brokers/redis.js';

const redisUrl = process.env['TEST_REDIS_URL']!;
const rabbitmqUrl = process.env['TEST_RABBITMQ_URL']!;
const gates: Gate[] = [];
const mortals: { redis?: RedisProcess; rabbitmq?: RabbitmqProcess } = {};
let observer: Redis;
let operator: ChannelModel;

beforeAll(async () => {
  observer = new Redis(redisUrl);
  operator = await connect(rabbitmqUrl);
});

afterAll(async () => {
  observer.disconnect();
  await operator.close();
  await Promise.all([...gates.map((gate) => gate.close()), mortals.redis?.stop(), mortals.rabbitmq?.stop()]);
});

jobsConformance('memory', { transport: () => memory(), once: true });

jobsConformance('redis', {
  once: true,
  transport: (prefix) => redis({ url: redisUrl, prefix }),
  gated: async (prefix) => {
    const gate = await gateTo(redisUrl);
    return { gate, transport: redis({ url: gate.url(redisUrl), prefix }) };
  },
  mortal: async (prefix) => {
    mortals.redis ??= await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'everysec'] });
    return { broker: mortals.redis, transport: redis({ url: mortals.redis.url, prefix }) };
  },
  foreign: async (prefix, queue, packet, failures = 0) => {
    await observer.xadd(`${prefix}roomcast:jobs:{${queue}}`, '*', 'job', packet, 'failures', failures);
  },
  deleteQueue: async (prefix, queue) => {
    await observer.del(`${prefix}roomcast:jobs:{${queue}}`);
  },
  spoil: async (prefix, queue) => {
    await observer.set(`${prefix}roomcast:jobs:{${queue}}`, 'a string');
  },
  sweep: async (prefix) => {
    const keys = await observer.keys(`${prefix}*`);
    if (keys.length > 0) await observer.del(...keys);
  },
});

jobsConformance('rabbitmq', {
  once: false,
  transport: (prefix) => rabbitmq({ url: rabbitmqUrl, prefix }),
  gated: async (prefix) => {
    const gate = await gateTo(rabbitmqUrl);
    return { gate, transport: rabbitmq({ url: gate.url(rabbitmqUrl), prefix }) };
  },
  mortal: async (prefix) => {
    mortals.rabbitmq ??= await startRabbitmq();
    return { broker: mortals.rabbitmq, transport: rabbitmq({ url: mortals.rabbitmq.url, prefix }) };
  },
  foreign: async (prefix, queue, packet, failures) => {
    const channel = await operator.createConfirmChannel();
    const options = failures === undefined ? {} : { headers: { 'x-failures': failures } };
    channel.sendToQueue(`${prefix}live_rooms.jobs.${queue}`, Buffer.from(packet), options);
    await channel.waitForConfirms();
    await channel.close();
  },
  deleteQueue: async (prefix, queue) => {
    const channel = await operator.createChannel();
    await channel.deleteQueue(`${prefix}live_rooms.jobs.${queue}`);
    await channel.close();
  },
  spoil: async (prefix, queue) => {
    const channel = await operator.createChannel();
    await channel.assertQueue(`${prefix}live_rooms.jobs.${queue}`, { durable: true });
    await channel.close();
  },
  sweep: async (prefix) => {
    const channel = await operator.createChannel();
    const delays = [20, 300, 600, 1_000, 2_000, 4_000, 5_000, 30_000].map((ms) => `.retry.${ms}`);
    for (const queue of ['q', 'other', 'fine', 'alone']) {
      for (const end of ['', '.dead', ...delays]) await channel.deleteQueue(`${prefix}live_rooms.jobs.${queue}${end}`);
    }
    await channel.close();
  },
});

async function gateTo(url: string): Promise<Gate> {
  const gate = await openGate(Number(new URL(url).port));
  gates.push(gate);
  return gate;
}
