/*
 * Redis against the suite: the shared one, the same behind a gate, and one of its own that may be killed.
 */
import { Bus, redis, type BroadcastError, type BusOptions, type Mark } from '@app/broadcast';
import { conformance, until } from '@app/broadcast/testing';
import { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
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
      // The ids that are known outlive it, as they do where somebody deletes what looks like the history.
      const keys = (await observer.keys(`{${prefix}*`)).filter((key) => /:(log|meta)$/.test(key));
      if (keys.length > 0) await observer.del(...keys);
    },
    leftovers: async (prefix) => (await observer.pubsub('CHANNELS', `${prefix}*`)) as string[],
  },
);

describe('redis, further', () => {
  const prefix = `r${randomBytes(4).toString('hex')}.`;
  const buses: Bus[] = [];

  async function keeping(options: BusOptions = {}): Promise<Bus> {
    const bus = new Bus(redis({ url, prefix }), { history: { size: 3, ttl: 60_000 }, ...options });
    buses.push(bus.on('error', () => undefined));
    await bus.connect();
    return bus;
  }

  afterEach(async () => {
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
    const keys = await observer.keys(`{${prefix}*`);
    if (keys.length > 0) await observer.del(...keys);
  });

  it.each<[string, Buffer]>([
    ['text', Buffer.from('{"v":1,"id":"m-1","args":["chat",1]}')],
    ['JSON by another encoder', Buffer.from('{ "id":"m-1","event":"chat" }')],
    ['bytes', Buffer.from([1, 0, 0, 0, 7, 123])],
  ])('stores and sends what the protocol says: %s', async (_, message) => {
    const bus = await keeping();
    const listener = observer.duplicate();
    await listener.subscribe(`${prefix}live_room:a`);
    const arrived = new Promise<Buffer>((resolve) =>
      listener.once('messageBuffer', (_name, payload) => resolve(payload)),
    );
    const pos = (await bus.logs.append('a', message, 'm-1'))!;
    const epoch = pos.slice(0, pos.lastIndexOf('.'));
    expect(pos).toBe(`${epoch}.1`);
    const isJson = message[0] === 0x7b && message[1] === 0x22;
    const front = isJson ? `{"pos":"${pos}",` : `\u0003${String.fromCharCode(pos.length)}${pos}`;
    expect(await arrived).toEqual(Buffer.concat([Buffer.from(front), message.subarray(isJson ? 1 : 0)]));
    listener.disconnect();
    const key = `{${prefix}live_room:a}`;
    expect(await observer.hgetall(`${key}:meta`)).toEqual({ e: epoch, s: '1', i: 'm-1' });
    expect(await observer.xrangeBuffer(`${key}:log`, '-', '+')).toEqual([
      [Buffer.from('1-0'), [Buffer.from('i'), Buffer.from('m-1'), Buffer.from('d'), message]],
    ]);
    expect(await observer.get(`${key}:id:m-1`)).toBe(pos);
    const lives = await Promise.all(['log', 'meta', 'id:m-1'].map((each) => observer.pttl(`${key}:${each}`)));
    expect(lives.map((life) => Math.round(life / 60_000))).toEqual([1, 24 * 60 + 1, 5]);
  });

  it('forgets nothing of a quiet room that somebody follows, and tells of no gap', async () => {
    const bus = await keeping({ watchInterval: 100 });
    const gaps: (string | undefined)[] = [];
    bus.on('gap', (_cause, room) => gaps.push(room));
    await bus.logs.append('a', Buffer.from('{"event":"chat","id":"1"}'), '1');
    await bus.logs.follow('a', () => undefined).ready();
    const life = () => observer.pttl(`{${prefix}live_room:a}:meta`);
    await observer.pexpire(`{${prefix}live_room:a}:meta`, 60_000);
    await until('it lives on', async () => (await life()) > 3_600_000);
    expect(gaps).toEqual([]);
  });

  it.each(['meta', 'log'])(
    'tells of a gap at the latest with the next message when its %s is evicted',
    async (evicted) => {
      const [bus, fresh] = await Promise.all([
        keeping({ history: { size: 100 } }),
        keeping({ history: { size: 100 } }),
      ]);
      const heard: string[] = [];
      const gaps: (string | undefined)[] = [];
      bus.on('gap', (_cause, room) => gaps.push(room));
      const text = (id: string) => Buffer.from(`{"event":"chat","id":"${id}"}`);
      const since: Mark[] = [];
      await bus.logs
        .follow('a', (payload) => heard.push((JSON.parse(payload.toString()) as { id: string }).id))
        .ready();
      for (const id of ['1', '2', '3']) since.push({ id, pos: (await bus.logs.append('a', text(id), id))! });
      await observer.del(`{${prefix}live_room:a}:${evicted}`);
      // Somebody looks at the room before anybody speaks in it.
      await fresh.logs.follow('a', () => undefined).ready();
      const replayed = (mark: Mark) => fresh.logs.replay('a', mark, ({ recovered }) => recovered);
      expect(await Promise.all(since.map(replayed))).toEqual([false, false, evicted === 'log']);
      expect((await fresh.logs.read('a', { limit: 9 })).entries).toEqual([]);
      const pos = (await fresh.logs.append('a', text('4'), '4'))!;
      expect(pos.endsWith(evicted === 'log' ? '.4' : '.1')).toBe(true);
      // What was said before the gap was noticed is missed, and told to be.
      await until('it is told, or heard', () => gaps.length > 0 || heard.at(-1) === '4');
      await fresh.logs.append('a', text('5'), '5');
      await until('the last is heard', () => heard.at(-1) === '5');
      expect((await fresh.logs.read('a', { limit: 9 })).entries.map(({ id }) => id)).toEqual(['4', '5']);
      expect([heard.slice(0, 3), gaps]).toEqual([['1', '2', '3'], evicted === 'log' ? [] : ['a']]);
      expect(new Set(heard).size).toBe(heard.length);
    },
  );

  it('goes on when an operator empties the scripts', async () => {
    const bus = await keeping();
    const heard: string[] = [];
    await bus.logs.follow('a', (payload) => heard.push(payload.toString())).ready();
    await observer.script('FLUSH');
    const said = ['1', '2'].map((id) => `{"event":"chat","id":"${id}"}`);
    for (const [i, text] of said.entries()) await bus.logs.append('a', Buffer.from(text), String(i));
    await until('both are heard', () => heard.length === 2);
    expect(heard).toEqual(said);
    expect((await bus.logs.read('a', { limit: 9 })).entries.map(({ payload }) => payload.toString())).toEqual(said);
  });

  it('says in its own words what it refuses: at once where it has no rights, in order where it has no memory', async () => {
    const own = await startRedis();
    const bus = new Bus(redis({ url: own.url }), { history: { size: 9, ttl: 60_000 } });
    const told: string[] = [];
    bus.on('error', ({ message }) => told.push(message));
    const say = (id: string) => bus.logs.append('a', Buffer.from(`{"event":"chat","id":"${id}"}`), id);
    const refusal = async (work: Promise<unknown>) => {
      const began = performance.now();
      const error = (await work.catch((thrown: unknown) => thrown)) as BroadcastError;
      return { code: error.code, message: error.message, took: performance.now() - began };
    };
    try {
      await bus.connect();
      await say('1');
      await own.cli('config', 'set', 'maxmemory', '1mb');
      const full = await refusal(say('2'));
      expect(full).toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringContaining('Redis refuses: OOM command not allowed') as string,
      });
      expect(full.took).toBeLessThan(4_000);
      expect(bus.failures.counts.memory).toBe(1);
      expect(bus.failures.refusal?.message).toBe(full.message);
      expect(told).toEqual([full.message]);
      const waiting = ['3', '4', '5'].map(say);
      await until('it has been refused', () => bus.failures.refusal !== undefined);
      await own.cli('config', 'set', 'maxmemory', '0');
      await Promise.all(waiting);
      expect(bus.failures.refusal).toBeUndefined();
      expect((await bus.logs.read('a', { limit: 9 })).entries.map(({ id }) => id)).toEqual(['1', '3', '4', '5']);

      await own.cli('acl', 'setuser', 'default', 'resetkeys');
      const forbidden = await refusal(say('6'));
      expect(forbidden).toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringContaining('Redis refuses: NOPERM') as string,
      });
      expect(forbidden.took).toBeLessThan(1_000);
      expect(bus.failures.counts).toMatchObject({ memory: 1, rights: 1, uncertain: 0 });
      expect(told).toEqual([full.message, forbidden.message]);
      // What needs no keys goes on.
      await bus.publish('room:b', Buffer.from('{"event":"chat"}'));
    } finally {
      await bus.close();
      await own.stop();
    }
  });

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
