/*
 * What is published to Redis in one turn goes in few commands: each message keeps its place and its outcome.
 */
import { Bus, BroadcastError, redis } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';

const url = process.env['TEST_REDIS_URL']!;
const prefix = `t${randomBytes(4).toString('hex')}.`;
const user = `user-${prefix}`;
const buses: Bus[] = [];
let observer: Redis;

beforeAll(() => {
  observer = new Redis(url);
});

afterEach(() => Promise.all(buses.splice(0).map((bus) => bus.close())));

afterAll(async () => {
  await observer.acl('DELUSER', user);
  observer.disconnect();
});

async function connected(address = url): Promise<Bus> {
  const bus = new Bus(redis({ url: address, prefix }), { history: { size: 500, ttl: 60_000 } });
  buses.push(bus.on('error', () => undefined));
  await bus.connect();
  return bus;
}

async function hearing(room: string): Promise<string[]> {
  const heard: string[] = [];
  const subscriber = await connected();
  await subscriber.subscribe(`room:${room}`, (payload) => heard.push(payload.toString('utf8', 0, 40).trim())).ready();
  return heard;
}

describe('a turn at Redis', () => {
  it('keeps the order of all that is said in it: many messages, large ones, and stored ones between', async () => {
    const heard = await hearing('order');
    const bus = await connected();
    const said = Array.from({ length: 300 }, (_, i) => `${i}`);
    await Promise.all(
      said.map((text, i) => {
        if (i % 50 === 25) return bus.logs.append('order', Buffer.from(text), `id-${i}`);
        return bus.publish('room:order', Buffer.from(i % 70 === 69 ? text.padEnd(10_000) : text));
      }),
    );
    await until('all are heard', () => heard.length === said.length);
    expect(heard).toEqual(said);
  });

  it('tells each what became of its own message', async () => {
    await observer.acl('SETUSER', user, 'reset', 'on', '>secret', '~*', '+@all', `&${prefix}roomcast:*`);
    await observer.acl('SETUSER', user, `&${prefix}live_room:open`);
    const heard = await hearing('open');
    const address = new URL(url);
    [address.username, address.password] = [encodeURIComponent(user), 'secret'];
    const bus = await connected(address.href);
    const outcomes = await Promise.allSettled(
      ['open', 'closed', 'open'].map((room, i) => bus.publish(`room:${room}`, Buffer.from(`${i}`))),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    const { reason } = outcomes[1] as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(BroadcastError);
    expect((reason as BroadcastError).code).toBe('UNCERTAIN');
    expect(String((reason as BroadcastError).cause)).toMatch(/publish/);
    await until('both are heard', () => heard.length === 2);
    expect(heard).toEqual(['0', '2']);
  });
});
