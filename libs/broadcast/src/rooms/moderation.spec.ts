import { Bus } from '../bus.js';
import { BroadcastError } from '../errors.js';
import { until } from '../testing/conditions.js';
import type { RecordStore, StoredRecord, Transport } from '../transport.js';
import { memory } from '../transports/memory.js';
import { Moderation, type ModerationOptions, type Restriction } from './moderation.js';

const buses: Bus[] = [];

async function open(transport: Transport, options?: ModerationOptions) {
  const bus = new Bus(transport, { backoff: { base: 1, max: 5 } }).on('error', () => undefined);
  buses.push(bus);
  const moderation = new Moderation(bus, options);
  await bus.connect();
  return { bus, moderation };
}

/** One whose records can be seen, and taken away. */
async function openOnRecords() {
  const kept = new Map<string, StoredRecord>();
  const reported: string[] = [];
  const transport = memory();
  const { bus, moderation } = await open({
    ...transport,
    open: async (events, options) => {
      const link = await transport.open(events, options);
      const records: RecordStore = {
        put: async (record) => void kept.set(record.key, record),
        all: async () => [...kept.values()],
      };
      return new Proxy(link, {
        get: (target, name) => {
          if (name === 'records') return records;
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  });
  bus.on('error', ({ code }) => reported.push(code));
  return { moderation, kept, reported };
}

function recordOf(restriction: Restriction): StoredRecord {
  const { kind, room, user, id, until } = restriction;
  const key = `moderation ${kind} ${JSON.stringify([room ?? null, user ?? null])}`;
  return { key, version: id, payload: Buffer.from(JSON.stringify(restriction)), until };
}

afterEach(() => Promise.all(buses.splice(0).map((bus) => bus.close())));

describe('moderation', () => {
  it('holds on every instance, and on those that come later', async () => {
    const transport = memory();
    const [one, other] = [await open(transport), await open(transport)];
    const heard: Restriction[] = [];
    other.moderation.on('restricted', (restriction) => heard.push(restriction));
    await one.moderation.restrict({ kind: 'ban', user: 'ann', room: 'r', duration: 60_000, by: 'mod' });
    await until('the other knows', () => other.moderation.find('ban', 'ann', 'r') !== undefined);
    const third = await open(transport);
    await third.moderation.sync();
    for (const { moderation } of [one, other, third]) {
      expect(moderation.find('ban', 'ann', 'r')).toMatchObject({ user: 'ann', room: 'r', by: 'mod' });
      expect(moderation.find('ban', 'ann', 's')).toBeUndefined();
      expect(moderation.find('ban', 'ann')).toBeUndefined();
      expect(moderation.find('mute', 'ann', 'r')).toBeUndefined();
      expect(moderation.find('ban', 'bob', 'r')).toBeUndefined();
    }
    expect(heard).toHaveLength(1);
  });

  it('finds what is for everywhere in every room, and of two the one that ends last', async () => {
    const { moderation } = await open(memory());
    await moderation.restrict({ kind: 'mute', user: 'ann' });
    await moderation.restrict({ kind: 'mute', user: 'ann', room: 'r', duration: 60_000 });
    expect(moderation.find('mute', 'ann', 'r')?.room).toBeUndefined();
    await moderation.lift({ kind: 'mute', user: 'ann' });
    expect(moderation.find('mute', 'ann', 'r')?.room).toBe('r');
    expect(moderation.find('mute', 'ann', 's')).toBeUndefined();
  });

  it('ends by itself', async () => {
    const { moderation } = await open(memory());
    await moderation.restrict({ kind: 'ban', user: 'ann', duration: 500 });
    expect(moderation.list()).toHaveLength(1);
    await until('it is over', () => moderation.find('ban', 'ann') === undefined);
    expect(moderation.list()).toEqual([]);
    await moderation.sync();
    expect(moderation.size).toBe(0);
  });

  it('takes the later of two, whatever came first, also where a clock is behind', async () => {
    const transport = memory();
    const [one, other] = [await open(transport), await open(transport)];
    const ahead = Date.now() + 600_000;
    const early = await one.moderation.restrict({ kind: 'ban', user: 'ann', duration: 3_600_000 });
    const future = { ...early, at: ahead, id: `7${early.id.slice(1)}` };
    await one.bus.control.send('all', { kind: 'restriction' }, [future]);
    await one.bus.control.send('all', { kind: 'restriction' }, [early]);
    await until('both know', () => [one, other].every(({ moderation }) => moderation.find('ban', 'ann')?.at === ahead));
    await other.bus.control.send('all', { kind: 'restriction' }, [early]);
    expect(other.moderation.find('ban', 'ann')?.at).toBe(ahead);
  });

  it('is not brought back by what was lifted, wherever that is still stored', async () => {
    const transport = memory();
    const [one, other] = [await open(transport), await open(transport)];
    const ban = await one.moderation.restrict({ kind: 'ban', user: 'ann' });
    await until('the other knows', () => other.moderation.find('ban', 'ann') !== undefined);
    expect(await other.moderation.lift({ kind: 'ban', user: 'ann' }, 'mod')).toEqual(ban);
    await until('it is lifted', () => one.moderation.find('ban', 'ann') === undefined);
    await one.bus.control.send('all', { kind: 'restriction' }, [ban]);
    await one.bus.records.put(recordOf(ban));
    const third = await open(transport);
    for (const { moderation } of [one, other, third]) {
      await moderation.sync();
      expect(moderation.find('ban', 'ann')).toBeUndefined();
    }
    expect(await one.moderation.lift({ kind: 'ban', user: 'ann' })).toBeUndefined();
  });

  it('tells a broker again that has forgotten', async () => {
    const { moderation, kept } = await openOnRecords();
    const ban = await moderation.restrict({ kind: 'ban', user: 'ann' });
    kept.clear();
    await moderation.sync();
    expect([...kept.values()]).toEqual([recordOf(ban)]);
    // One that has gone back to an earlier state, too.
    const later = await moderation.restrict({ kind: 'ban', user: 'ann', reason: 'again' });
    kept.set(recordOf(ban).key, recordOf(ban));
    await moderation.sync();
    expect([...kept.values()]).toEqual([recordOf(later)]);
    expect(moderation.find('ban', 'ann')).toEqual(later);
  });

  it('passes over what is no restriction', async () => {
    const { moderation, kept, reported } = await openOnRecords();
    const until = Date.now() + 60_000;
    for (const [key, text] of [
      ['moderation x', 'nonsense'],
      ['moderation y', '{"kind":"ban"}'],
      ['of somebody else', '{}'],
    ] as const) {
      kept.set(key, { key, version: '1', payload: Buffer.from(text), until });
    }
    await moderation.sync();
    expect(moderation.size).toBe(0);
    expect(reported).toEqual(['UNREADABLE']);
    const ban = await moderation.restrict({ kind: 'ban', user: 'ann' });
    expect(kept.get(recordOf(ban).key)).toEqual(recordOf(ban));
  });

  it.each([
    ['ban', { kind: 'ban', user: 'ann' }],
    ['slow mode', { kind: 'slow', room: 'r', interval: 5_000 }],
  ] as const)(
    'a %s that a shorter one has replaced does not come back with an instance that was away',
    async (_, about) => {
      const { moderation, kept } = await openOnRecords();
      const forGood = recordOf(await moderation.restrict(about));
      const shorter = await moderation.restrict({ ...about, duration: 30 });
      await until('it is over', () => moderation.list().length === 0);
      await moderation.sync();
      expect(kept.get(forGood.key)).toMatchObject({ version: shorter.id });
      expect(kept.get(forGood.key)!.until).toBeGreaterThan(Date.now() + 6 * 86_400_000);
      // What an instance that knows only the first one would do.
      kept.set(forGood.key, forGood);
      await moderation.sync();
      expect(moderation.list()).toEqual([]);
      expect(kept.get(forGood.key)).toMatchObject({ version: shorter.id });
    },
  );

  it('lifts what is known here when it hears that it was replaced, and that is over', async () => {
    const { moderation, kept } = await openOnRecords();
    const told: string[] = [];
    moderation.on('restricted', ({ kind }) => told.push(`restricted ${kind}`));
    moderation.on('lifted', ({ kind }) => told.push(`lifted ${kind}`));
    const ban = await moderation.restrict({ kind: 'mute', user: 'ann' });
    const over = { ...ban, until: Date.now() - 1, replaced: ban.until, id: '7'.padEnd(26, 'Z') };
    kept.set(recordOf(ban).key, recordOf(over));
    await moderation.sync();
    expect(told).toEqual(['restricted mute', 'lifted mute']);
    expect(moderation.find('mute', 'ann')).toBeUndefined();
  });

  it('kicks on every instance, and keeps nothing', async () => {
    const transport = memory();
    const [one, other] = [await open(transport), await open(transport)];
    const kicked: unknown[] = [];
    for (const { moderation } of [one, other]) moderation.on('kicked', (kick) => kicked.push(kick));
    await one.moderation.kick({ user: 'ann', room: 'r', reason: 'x' });
    await until('both are told', () => kicked.length === 2);
    expect(kicked).toEqual(Array(2).fill({ user: 'ann', room: 'r', reason: 'x' }));
    expect(one.moderation.size).toBe(0);
  });

  it('has no more than it is made for', async () => {
    const { moderation } = await open(memory(), { limit: 2 });
    await moderation.restrict({ kind: 'ban', user: 'ann' });
    await moderation.restrict({ kind: 'ban', user: 'bob', duration: 1_000 });
    const third = () => moderation.restrict({ kind: 'ban', user: 'cat' });
    await expect(third()).rejects.toMatchObject({ code: 'OVERLOADED' });
    await moderation.restrict({ kind: 'ban', user: 'ann', duration: 60_000 });
    await until('there is room again', () =>
      third().then(
        () => true,
        () => false,
      ),
    );
  });

  it('lets nobody who moderates a room, or rooms, take what the others need', async () => {
    const { moderation } = await open(memory(), { limit: 20 });
    const ban = (user: string, room?: string) => moderation.restrict({ kind: 'ban', user, room });
    await ban('a', 'mine');
    await moderation.lift({ kind: 'ban', user: 'a', room: 'mine' });
    await ban('b', 'mine');
    await expect(ban('c', 'mine')).rejects.toMatchObject({
      code: 'OVERLOADED',
      message: expect.stringContaining('mine'),
    });
    for (let i = 0; i < 16; i++) await ban('a', `r${i}`);
    await expect(ban('a', 'r16')).rejects.toMatchObject({ code: 'OVERLOADED' });
    await ban('spammer');
    await ban('another');
    await expect(ban('a third')).rejects.toMatchObject({ code: 'OVERLOADED' });
    await expect(ban('spammer')).resolves.toMatchObject({ user: 'spammer' });
  });

  it.each([
    ['a ban of nobody', { kind: 'ban', room: 'r' }],
    ['slow mode of nowhere', { kind: 'slow', interval: 5 }],
    ['slow mode without a while', { kind: 'slow', room: 'r' }],
    ['a while below nothing', { kind: 'slow', room: 'r', interval: -1 }],
    ['a text that is too long', { kind: 'ban', user: 'ann', reason: 'x'.repeat(257) }],
    ['an unknown kind', { kind: 'praise', user: 'ann' }],
  ])('refuses %s', async (_what, wrong) => {
    const { moderation } = await open(memory());
    await expect(moderation.restrict(wrong as never)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    expect(moderation.size).toBe(0);
  });

  it('decides nothing while there is no broker, and says so', async () => {
    const { bus, moderation } = await open(memory());
    await bus.close();
    const decided = moderation.restrict({ kind: 'ban', user: 'ann' });
    await expect(decided).rejects.toBeInstanceOf(BroadcastError);
    // Somebody else may have been banned meanwhile.
    await expect(moderation.lift({ kind: 'ban', user: 'bob' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(moderation.find('ban', 'ann')).toBeUndefined();
  });
});
