/*
 * What every transport has to keep of the histories of rooms: one order for all, each message once, and nothing missing
 * without somebody being told.
 */
import type { Bus } from '../bus.js';
import type { BusOptions } from '../bus-options.js';
import { encode } from '../envelope.js';
import type { Missed } from '../feed.js';
import { offsetOf, positionOf, epochOf, type Mark, type Position } from '../position.js';
import type { Subscription } from '../subscriptions.js';
import type { Channel, Features, Link, Transport } from '../transport.js';
import { collect, until } from './conditions.js';
import { codeOfRejection, listen, say, type Stage } from './stage.js';

const KEPT = { size: 1_000, ttl: 60_000 };
const SECRET = 'the secret of the instances';

interface Told {
  readonly id: string;
  readonly pos?: Position;
}

/** What is heard of a room's log, in order, and the gaps in it. */
interface Following extends Subscription {
  readonly told: Told[];
  readonly ids: string[];
  readonly gaps: string[];
}

/** Registers the cases, inside a `describe`. */
export function logs(stage: Stage, features: Features, hostileRooms: readonly string[]): void {
  const keeping = (options: BusOptions & { on?: Transport } = {}) => stage.bus({ history: KEPT, ...options });

  it('stores what is appended, and everyone who follows the log hears it with its position', async () => {
    const [speaker, hearer] = await Promise.all([keeping(), keeping()]);
    const followed = await Promise.all([speaker, hearer].map((bus) => follow(bus, 'a')));
    const places = [];
    for (const id of ['1', '2', '3']) places.push({ id, pos: await append(speaker, 'a', id) });
    await until('both have heard', () => followed.every(({ told }) => told.length === 3));
    for (const { told } of followed) expect(told).toEqual(places);
    for (const bus of [speaker, hearer]) expect(await read(bus, 'a', { limit: 50 })).toEqual([['1', '2', '3'], true]);
  });

  it('takes the same id for the same message, with one position, from any instance, also at the same time', async () => {
    const buses = await Promise.all([keeping(), keeping()]);
    const followed = await Promise.all(buses.map((bus) => follow(bus, 'a')));
    const first = await append(buses[0], 'a', 'one');
    expect(await append(buses[0], 'a', 'one')).toBe(first);
    expect(await append(buses[1], 'a', 'one')).toBe(first);
    const ids = Array.from({ length: 100 }, (_, i) => `n${i}`);
    const positions = await Promise.all(buses.map((bus) => Promise.all(ids.map((id) => append(bus, 'a', id)))));
    expect(positions[0]).toEqual(positions[1]);
    expect(new Set(positions[0]).size).toBe(100);
    // The same id in another room is another message.
    await append(buses[1], 'b', 'one');
    await append(buses[0], 'a', 'last');
    await until('both hear the last', () => followed.every((each) => each.ids.at(-1) === 'last'));
    for (const { told, ids: heard } of followed) {
      expect(heard).toHaveLength(102);
      expect(new Set(heard).size).toBe(102);
      expect(ids.map((id) => told.find((each) => each.id === id)?.pos)).toEqual(positions[0]);
    }
    expect((await read(buses[0], 'a', { limit: 500 }))[0]).toEqual(followed[0]!.ids);
    expect((await read(buses[0], 'b', { limit: 500 }))[0]).toEqual(['one']);
  });

  it('has one order for all, whoever says it', async () => {
    const buses = await Promise.all([keeping(), keeping(), keeping()]);
    const followed = await Promise.all(buses.map((bus) => follow(bus, 'a')));
    const said = buses.map((bus, b) => Array.from({ length: 300 }, (_, i) => append(bus, 'a', `${b}:${i}`)));
    await Promise.all(said.flat());
    await until('all hear everything', () => followed.every(({ told }) => told.length >= 900));
    const [first] = followed as [Following];
    for (const { told } of followed) expect(told).toEqual(first.told);
    const offsets = first.told.map(({ pos }) => offsetOf(pos!));
    expect(offsets).toEqual([...new Set(offsets)].sort((one, other) => one - other));
    for (const b of buses.keys()) {
      const own = first.ids.filter((id) => id.startsWith(`${b}:`));
      expect(own).toEqual(own.map((_, i) => `${b}:${i}`));
    }
    expect((await read(buses[2], 'a', { limit: 1_000 }))[0]).toEqual(first.ids);
  });

  it('reads forwards and backwards, says whether there is more, and what is at the place', async () => {
    const link = await opened(stage.transport);
    try {
      const ids = Array.from({ length: 10 }, (_, i) => `m${i}`);
      const places: Position[] = [];
      for (const id of ids) places.push((await link.log.append('a', message(id), { id, ...KEPT }))!);
      await link.log.append('b', message('elsewhere'), { id: 'elsewhere', ...KEPT });
      const page = async (where: { from?: Position; before?: Position; limit: number }) => {
        const { entries, more } = await link.log.read('a', where);
        expect(entries.map(({ payload }) => payload)).toEqual(entries.map(({ id }) => message(id!)));
        return [entries.map(({ pos }) => places.indexOf(pos)), more];
      };
      expect(await page({ limit: 50 })).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], false]);
      expect(await page({ limit: 10 })).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], false]);
      expect(await page({ limit: 3 })).toEqual([[7, 8, 9], true]);
      expect(await page({ before: places[7], limit: 3 })).toEqual([[4, 5, 6], true]);
      expect(await page({ before: places[3], limit: 3 })).toEqual([[0, 1, 2], false]);
      expect(await page({ before: places[0], limit: 3 })).toEqual([[], false]);
      expect(await page({ from: places[7], limit: 3 })).toEqual([[8, 9], false]);
      expect(await page({ from: places[1], limit: 2 })).toEqual([[2, 3], true]);
      expect(await page({ from: places[7], limit: 2 })).toEqual([[8, 9], false]);
      expect(await page({ from: places[9], limit: 3 })).toEqual([[], false]);
      for (const [i, pos] of places.entries()) {
        expect((await link.log.read('a', { from: pos, limit: 1 })).at).toMatchObject({ pos, id: ids[i] });
      }
      const beyond = positionOf(epochOf(places[9]!), offsetOf(places[9]!) + 1_000);
      for (const from of [beyond, 'elsewhere.1']) {
        expect(await link.log.read('a', { from, limit: 3 })).toEqual({ entries: [], more: false });
      }
      const start = positionOf(epochOf(places[9]!), 0);
      expect(await page({ before: start, limit: 3 })).toEqual([[], false]);
      expect(await page({ before: beyond, limit: 3 })).toEqual([[7, 8, 9], true]);
      // Nobody knows what was there, so that nobody may be told that this was all.
      expect(await page({ before: 'elsewhere.5', limit: 3 })).toEqual([[], true]);
    } finally {
      await link.close();
    }
  });

  it('reads what any instance has been told is stored, at once', async () => {
    const [speaker, reader] = await Promise.all([keeping(), keeping()]);
    for (let i = 1; i <= 50; i++) {
      const pos = await append(speaker, 'a', `m${i}`);
      const [ids, complete] = await read(reader, 'a', { limit: 100 });
      expect([ids.length, ids.at(-1), complete]).toEqual([i, `m${i}`, true]);
      expect(await read(reader, 'a', { from: pos, limit: 100 })).toEqual([[], true]);
    }
  });

  it('has nothing of a room that was never used, and resumes in it', async () => {
    const [one, other] = await Promise.all([keeping(), keeping()]);
    expect(await read(one, 'a', { limit: 5 })).toEqual([[], true]);
    await follow(one, 'a');
    const mark = one.logs.markOf('a')!;
    await follow(other, 'a');
    for (const bus of [one, other]) expect(await replay(bus, 'a', mark)).toEqual([true, []]);
    await append(one, 'a', 'first');
    for (const bus of [one, other]) {
      await until('it is heard', async () => (await replay(bus, 'a', mark))[1].length > 0);
      expect(await replay(bus, 'a', mark)).toEqual([true, ['first']]);
    }
    const quiet = one.logs.markOf('a')!;
    for (const bus of [one, other, await keeping()]) {
      await follow(bus, 'a');
      expect(await replay(bus, 'a', quiet)).toEqual([true, []]);
      // The place that was told before anything was said.
      expect(await replay(bus, 'a', mark)).toEqual([true, ['first']]);
    }
  });

  it('resumes nowhere but where the same message still is, and says so at once', async () => {
    const [one, other] = await Promise.all([keeping(), keeping()]);
    await Promise.all([follow(one, 'a'), follow(other, 'a')]);
    const pos = (await append(one, 'a', 'seen'))!;
    await append(one, 'a', 'later');
    const fresh = await keeping();
    await follow(fresh, 'a');
    await until('it is heard', async () => (await replay(other, 'a', { pos, id: 'seen' }))[1].length === 1);
    for (const bus of [one, other, fresh]) {
      expect(await replay(bus, 'a', { pos, id: 'seen' })).toEqual([true, ['later']]);
      const began = Date.now();
      for (const since of [
        { pos, id: 'another' },
        { pos },
        { pos: 'elsewhere.1', id: 'seen' },
        { pos: positionOf(epochOf(pos), offsetOf(pos) + 100_000), id: 'seen' },
      ]) {
        expect(await replay(bus, 'a', since)).toEqual([false, []]);
      }
      expect(Date.now() - began).toBeLessThan(1_500);
    }
  });

  it('keeps as many messages as the room may have', async () => {
    const one = await keeping({ history: { size: 5 } });
    const places = [];
    for (let i = 0; i < 9; i++) places.push({ id: `m${i}`, pos: (await append(one, 'a', `m${i}`))! });
    const last = ['m4', 'm5', 'm6', 'm7', 'm8'];
    expect((await read(one, 'a', { limit: 5 }))[0]).toEqual(last);
    const other = await keeping({ history: { size: 5 } });
    await follow(other, 'a');
    expect(await replay(other, 'a', places[4]!)).toEqual([true, last.slice(1)]);
    if (features.log === 'shared') return; // It keeps more.
    expect(await read(one, 'a', { limit: 50 })).toEqual([last, true]);
    expect(await read(one, 'a', { from: places[2]!.pos, limit: 50 })).toEqual([last, false]);
    expect(await read(one, 'a', { from: positionOf(epochOf(places[0]!.pos), 0), limit: 50 })).toEqual([last, false]);
    expect(await replay(other, 'a', places[2]!)).toEqual([false, []]);
  });

  if (features.log === 'room') {
    it('keeps messages for as long as the room may, and can be resumed at its end after that', async () => {
      const one = await keeping({ history: { size: 5, ttl: 1_000 } });
      await follow(one, 'a');
      for (const id of ['1', '2', '3', '4', '5', '6']) await append(one, 'a', id);
      const pos = (await append(one, 'a', 'last'))!;
      expect(await read(one, 'a', { limit: 2 })).toEqual([['6', 'last'], false]);
      await until('nothing is kept', async () => (await read(one, 'a', { limit: 2 }))[0].length === 0, 3_000);
      const other = await keeping({ history: { size: 5, ttl: 1_000 } });
      await follow(other, 'a');
      expect(await replay(other, 'a', { pos, id: 'last' })).toEqual([true, []]);
      expect(await replay(other, 'a', { pos: positionOf(epochOf(pos), offsetOf(pos) - 1), id: '6' })).toEqual([
        false,
        [],
      ]);
      const next = (await append(other, 'a', 'next'))!;
      expect(offsetOf(next)).toBe(offsetOf(pos) + 1);
    });

    it('finds a message that the broker did not push, with the next one', async () => {
      const [speaker, hearer] = await Promise.all([
        keeping(),
        keeping({ on: swallowing(stage.transport, ['2', '3']) }),
      ]);
      const followed = await follow(hearer, 'a');
      for (const id of ['1', '2', '3', '4']) await append(speaker, 'a', id);
      await until('all are heard', () => followed.ids.length === 4);
      expect([followed.ids, followed.gaps]).toEqual([['1', '2', '3', '4'], []]);
      expect(hearer.counts.caughtUp).toBeGreaterThanOrEqual(2);
    });

    it('finds a message that the broker did not push, also when nothing comes after it', async () => {
      const on = swallowing(stage.transport, ['2']);
      const [speaker, hearer] = await Promise.all([keeping(), keeping({ on, watchInterval: 200 })]);
      const followed = await follow(hearer, 'a');
      for (const id of ['1', '2']) await append(speaker, 'a', id);
      await until('both are heard', () => followed.ids.length === 2);
      expect([followed.ids, followed.gaps]).toEqual([['1', '2'], []]);
    });
  }

  it('carries binary and signed messages, and passes over those of strangers', async () => {
    const options = { secret: SECRET, requireSigned: true };
    const [speaker, hearer, stranger] = await Promise.all([keeping(options), keeping(options), keeping()]);
    const followed = await follow(hearer, 'a');
    const mark = hearer.logs.markOf('a')!;
    const payloads: Buffer[] = [];
    hearer.logs.follow('a', (payload) => payloads.push(Buffer.from(payload)));
    const bytes = encode({ id: 'bytes' }, ['file', Buffer.from(Array.from({ length: 256 }, (_, i) => i))]);
    await speaker.logs.append('a', bytes, 'bytes');
    await append(stranger, 'a', 'forged');
    await append(speaker, 'a', 'last');
    await until('the last is heard', () => followed.ids.at(-1) === 'last');
    expect([followed.ids, followed.gaps]).toEqual([['bytes', 'last'], []]);
    expect(payloads).toEqual([bytes, message('last')]);
    expect(hearer.counts.untrusted).toBeGreaterThan(0);
    const fresh = await keeping(options);
    await follow(fresh, 'a');
    expect(await replay(fresh, 'a', { ...followed.told[0]!, pos: followed.told[0]!.pos! })).toEqual([true, ['last']]);
    expect((await read(fresh, 'a', { limit: 5 }))[0]).toEqual(['bytes', 'last']);
    const { untrusted } = hearer.counts;
    await follow(hearer, 'quiet');
    const quiet = hearer.logs.markOf('quiet')!;
    await follow(fresh, 'quiet');
    const before = fresh.counts.untrusted;
    expect(await replay(fresh, 'quiet', quiet)).toEqual([true, []]);
    expect([hearer.counts.untrusted, fresh.counts.untrusted]).toEqual([untrusted, before]);
    expect((await replay(fresh, 'a', mark))[0]).toBe(true);
  });

  it('hears what a foreign service says without an id, and names it alike everywhere where it is stored', async () => {
    const [one, other, service] = await Promise.all([keeping(), keeping(), stage.bus()]);
    const followed = await Promise.all([one, other].map((bus) => follow(bus, 'a')));
    const payloads: string[] = [];
    one.logs.follow('a', (payload) => payloads.push(payload.toString()));
    const said = ['{"event":"chat","n":1}', '{"event":"chat","n":1}', '{"event":"chat","n":2}'];
    for (const text of said) await say(service, 'room:a', text);
    await until('both hear all', () => followed.every(({ told }) => told.length === 3));
    await until('the bytes are as they were', () => payloads.length === 3);
    expect(payloads).toEqual(said);
    const { entries } = await one.logs.read('a', { limit: 50 });
    const elsewhere = (await other.logs.read('a', { limit: 50 })).entries;
    const names = (list: typeof entries) => list.map(({ id, pos }) => ({ id, pos }));
    expect(names(entries)).toEqual(names(elsewhere));
    if (features.log === 'room') {
      expect(followed.flatMap(({ told }) => told.map(({ pos }) => pos))).toEqual(Array(6).fill(undefined));
      return expect(entries).toEqual([]);
    }
    expect(new Set(entries.map(({ id }) => id)).size).toBe(3);
    expect(followed[0]!.told.map(({ pos }) => pos)).toEqual(entries.map(({ pos }) => pos));
    expect(followed[1]!.told).toEqual(followed[0]!.told);
    for (const bus of [one, other]) {
      const { id, pos } = entries[0]!;
      expect((await replay(bus, 'a', { id, pos }))[1]).toEqual(entries.slice(1).map((entry) => entry.id));
    }
  });

  it('leaves a field of a foreign message where it is, though it has the name of a position', async () => {
    const [hearer, service] = await Promise.all([keeping(), stage.bus()]);
    const heard = [await listen(hearer, 'room:a'), collect(hearer, 'log:a')];
    await heard[1]!.ready();
    for (const pos of ['e4', '3,4', '', '.1', 'a.b']) await say(service, 'room:a', `{"pos":"${pos}","event":"move"}`);
    await until('all are heard', () => heard.every(({ messages }) => messages.length === 5));
    for (const { messages } of heard) {
      expect(messages.map((text) => (JSON.parse(text) as { pos: string }).pos)).toEqual(['e4', '3,4', '', '.1', 'a.b']);
    }
  });

  it('hears the shortest messages, in rooms with a history and in others', async () => {
    const [hearer, service] = await Promise.all([keeping(), stage.bus()]);
    const heard = await Promise.all([listen(hearer, 'room:a'), listen(hearer, 'log:a'), listen(hearer, 'room:b')]);
    const texts = [
      '{',
      '{}',
      '{"',
      '{"p',
      '{"pos":',
      '{"pos":"',
      '\u0003',
      '\u0003\u0001',
      '\u0003\u0009e.1',
      '[',
      'x',
    ];
    for (const text of texts) for (const room of ['a', 'b']) await say(service, `room:${room}`, text);
    await until('all are heard', () => heard.every(({ messages }) => messages.length === texts.length));
    for (const { messages } of heard) expect(messages).toEqual(texts);
    expect(hearer.state).toBe('up');
  });

  it('takes any string as a room with a history, and never one for another', async () => {
    const [speaker, hearer] = await Promise.all([keeping(), keeping()]);
    const followed = await Promise.all(hostileRooms.map((room) => follow(hearer, room)));
    await Promise.all(hostileRooms.map((room, i) => append(speaker, room, `in ${i}`)));
    await until('every room hears', () => followed.every(({ told }) => told.length >= 1));
    expect(followed.map(({ ids }) => ids)).toEqual(hostileRooms.map((_, i) => [`in ${i}`]));
    for (const [i, room] of hostileRooms.entries()) {
      expect((await read(speaker, room, { limit: 5 }))[0]).toEqual([`in ${i}`]);
    }
  });

  it('is heard as a live room and as a log at once, each until it is left', async () => {
    const [speaker, hearer] = await Promise.all([keeping(), keeping({ linger: 0 })]);
    const live = await listen(hearer, 'room:a');
    const followed = await follow(hearer, 'a');
    await append(speaker, 'a', 'both');
    await until('both hear it', () => live.messages.length === 1 && followed.ids.length === 1);
    live.close();
    await append(speaker, 'a', 'log');
    await until('it is heard', () => followed.ids.length === 2);
    const again = await listen(hearer, 'room:a');
    followed.close();
    await until('it is left', () => hearer.logs.size === 0);
    await append(speaker, 'a', 'live');
    await until('it is heard', () => again.messages.length === 1);
    expect([live.messages.length, followed.ids]).toEqual([1, ['both', 'log']]);
  });

  it('refuses to keep, to follow and to read what has no history', async () => {
    const bus = await keeping({ profiles: { live: { history: { size: 0 } } } });
    for (const attempt of [append(bus, 'live:1', 'x'), bus.logs.read('live:1', { limit: 1 })]) {
      expect(await codeOfRejection(attempt)).toBe('BAD_REQUEST');
    }
    expect(() => bus.logs.follow('live:1', () => undefined)).toThrow('room live:1 has no history');
    expect(await codeOfRejection(replay(bus, 'unfollowed', { pos: 'e.1' }))).toBe('BAD_REQUEST');
  });

  it('takes any id of up to 255 bytes, and refuses a longer one at once', async () => {
    const bus = await keeping();
    const ids = ['', ' ', 'a:b{c}%', 'ü'.repeat(127), 'x'.repeat(255), '__proto__'];
    for (const id of ids) expect(await append(bus, 'a', id)).toBe(await append(bus, 'a', id));
    expect((await read(bus, 'a', { limit: 50 }))[0]).toEqual(ids);
    for (const id of ['x'.repeat(256), 'ü'.repeat(128)]) {
      expect(await codeOfRejection(append(bus, 'a', id))).toBe('BAD_REQUEST');
    }
  });

  it('misses and doubles nothing where resuming meets what is being said, a hundred times', async () => {
    // Rings that hold little: most has to be read.
    const tight = { ringBytes: 2_000 };
    const [speaker, ...hearers] = await Promise.all([keeping(), keeping(tight), keeping(tight)]);
    const followed = await Promise.all(hearers.map((bus) => follow(bus, 'a')));
    let n = 0;
    const said: Promise<unknown>[] = [];
    const load = setInterval(() => said.push(append(speaker, 'a', String(n++))), 1);
    await until('messages flow', () => followed.every(({ ids }) => ids.length > 20));
    for (let round = 0; round < 50; round++) {
      await Promise.all(
        hearers.map(async (bus, i) => {
          const { told } = followed[i]!;
          const from = Math.max(0, told.length - 1 - round);
          const since = { pos: told[from]!.pos!, id: told[from]!.id };
          const [missed, upTo] = await bus.logs.replay('a', since, (each) => [each, told.length] as const);
          expect(idsOf(missed)).toEqual([true, told.slice(from + 1, upTo).map(({ id }) => id)]);
        }),
      );
    }
    clearInterval(load);
    await Promise.all(said);
    await until('the last is heard', () => followed.every(({ ids }) => ids.length === n));
    for (const { ids, gaps } of followed) expect([ids, gaps]).toEqual([ids.map((_, i) => String(i)), []]);
  });

  it('holds no more at hand than it may: rooms let go of it, and are read instead', async () => {
    const bus = await keeping({ ringsBytes: 20_000 });
    const rooms = ['a', 'b', 'c', 'd'];
    const followed = await Promise.all(rooms.map((room) => follow(bus, room)));
    for (let i = 0; i < 20; i++) {
      const payload = encode({ id: `m${i}` }, ['chat', '.'.repeat(500)]);
      await Promise.all(rooms.map((room) => bus.logs.append(room, payload, `m${i}`)));
    }
    await until('all is heard', () => followed.every(({ told }) => told.length === 20));
    expect(bus.logs.ringsBytes).toBeLessThanOrEqual(20_000);
    expect(bus.counts.trimmed).toBeGreaterThan(0);
    for (const [i, room] of rooms.entries()) {
      const { told, ids } = followed[i]!;
      expect(await replay(bus, room, { pos: told[0]!.pos!, id: told[0]!.id })).toEqual([true, ids.slice(1)]);
    }
  });

  it('gives nobody more to catch up with than it may', async () => {
    const bus = await keeping({ replayLimit: 5 });
    const { told, ids } = await follow(bus, 'a');
    for (let i = 0; i < 10; i++) await append(bus, 'a', `m${i}`);
    await until('all is heard', () => told.length === 10);
    const since = (i: number) => ({ pos: told[i]!.pos!, id: told[i]!.id });
    expect(await replay(bus, 'a', since(4))).toEqual([true, ids.slice(5)]);
    expect(await replay(bus, 'a', since(3))).toEqual([false, []]);
  });

  it('knows an id for as long as it says, and not much longer', async () => {
    const bus = await keeping({ idWindow: 500 });
    const first = (await append(bus, 'a', 'again'))!;
    expect(await append(bus, 'a', 'again')).toBe(first);
    let other = 0;
    await until('it is another message', async () => {
      await append(bus, 'b', String(other++));
      return (await append(bus, 'a', 'again')) !== first;
    });
    expect((await read(bus, 'a', { limit: 5 }))[0]).toEqual(['again', 'again']);
  });

  if (features.network) logOutages(stage, keeping);
}

function logOutages(stage: Stage, keeping: (options?: BusOptions & { on?: Transport }) => Promise<Bus>): void {
  async function behindGate(options: BusOptions = {}) {
    const { transport, gate } = await stage.set.gated!(stage.prefix);
    const [gated, straight] = await Promise.all([keeping({ ...options, on: transport }), keeping()]);
    return { gate, gated, straight };
  }

  /** Says something every few ms, and keeps what became of it. */
  function talk(bus: Bus, name: string, every = 2) {
    const said: Promise<Told | undefined>[] = [];
    const timer = setInterval(() => {
      const id = `${name}${said.length}`;
      said.push(
        append(bus, 'a', id).then(
          (pos) => ({ id, pos }),
          () => undefined,
        ),
      );
    }, every);
    return {
      said,
      /** Resolves with what was acknowledged. */
      stop: async () => {
        clearInterval(timer);
        return (await Promise.all(said)).filter((each) => each !== undefined);
      },
    };
  }

  it.each(['cut', 'refuse', 'blackhole'] as const)(
    'loses, doubles and misorders nothing through a %s, however little fits into the buffer',
    async (harm) => {
      const { gate, gated, straight } = await behindGate({ bufferSize: 3 });
      const followed = await Promise.all([gated, straight].map((bus) => follow(bus, 'a')));
      const [theirs, ours] = [talk(straight, 's'), talk(gated, 'g', 10)];
      for (let round = 1; round <= 2; round++) {
        const before = followed[0]!.ids.length;
        await until('messages flow', () => followed[0]!.ids.length > before + 50);
        gate[harm]();
        await until('it is noticed', () => gated.counts.outages === round);
        const missed = theirs.said.length;
        await until('more is said', () => theirs.said.length > missed + 50);
        gate.pass();
        await gated.ready(15_000);
      }
      const acknowledged = [...(await theirs.stop()), ...(await ours.stop())];
      await append(straight, 'a', 'last');
      await until('both hear the last', () => followed.every(({ ids }) => ids.at(-1) === 'last'));
      const [one, other] = followed as [Following, Following];
      expect(one.told).toEqual(other.told);
      expect(new Set(one.ids).size).toBe(one.ids.length);
      const places = new Map(one.told.map(({ id, pos }) => [id, pos]));
      // Each was told its own position, or none.
      expect(
        acknowledged.filter(({ id, pos }) => !places.has(id) || (pos ?? places.get(id)) !== places.get(id)),
      ).toEqual([]);
      expect([one.gaps, other.gaps]).toEqual([[], []]);
      expect(gated.counts.caughtUp + Number(gated.transport.features.log === 'shared')).toBeGreaterThan(0);
    },
    60_000,
  );

  it('stores a message once whose first copy arrived, though the answer never did', async () => {
    const { gate, gated, straight } = await behindGate({ probeMisses: 20 });
    const followed = await follow(straight, 'a');
    gate.slow(300);
    const appending = append(gated, 'a', 'once');
    await until('the first copy has arrived', () => followed.ids.length === 1);
    gate.blackhole(); // the answer is on its way back
    await until('the outage is noticed', () => gated.counts.outages === 1);
    gate.pass();
    const pos = await appending;
    await append(straight, 'a', 'last');
    await until('the last is heard', () => followed.ids.at(-1) === 'last');
    expect(followed.ids).toEqual(['once', 'last']);
    expect(pos ?? followed.told[0]!.pos).toBe(followed.told[0]!.pos);
    expect((await read(straight, 'a', { limit: 9 }))[0]).toEqual(['once', 'last']);
  });

  it('sends again what an outage has caught, in the order in which it was said', async () => {
    const { gate, gated, straight } = await behindGate();
    const followed = await follow(straight, 'a');
    const ids = Array.from({ length: 60 }, (_, i) => `m${i}`);
    const said: Promise<unknown>[] = [];
    for (const [i, id] of ids.entries()) {
      if (i === 30) gate.cut();
      said.push(append(gated, 'a', id));
      if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(said);
    await until('all are heard', () => followed.ids.length >= ids.length);
    expect(followed.ids).toEqual(ids);
  });

  it('tells of a gap when the log is deleted while it is heard, with the next message at the latest', async () => {
    const bus = await keeping();
    const followed = await follow(bus, 'a');
    await append(bus, 'a', 'before');
    await until('it is heard', () => followed.ids.length === 1);
    await stage.set.forget!(stage.prefix);
    await until('a gap is told', async () => {
      await append(bus, 'a', `n${Date.now()}`).catch(() => undefined);
      return followed.gaps.length > 0;
    });
    await until('what is said is heard', async () => {
      await append(bus, 'a', 'after');
      return followed.ids.includes('after');
    });
    expect(followed.gaps).toHaveLength(1);
    expect(await replay(bus, 'a', { pos: followed.told[0]!.pos!, id: 'before' })).toEqual([false, []]);
    // What is not there any more is stored again.
    await append(bus, 'a', 'before');
    expect((await read(bus, 'a', { limit: 50 }))[0].at(-1)).toBe('before');
  });

  it('tells of a gap when the log was deleted during an outage, within 2 s of being up again', async () => {
    const { gate, gated } = await behindGate();
    const followed = await follow(gated, 'a');
    await append(gated, 'a', 'before');
    await until('it is heard', () => followed.ids.length === 1);
    gate.refuse();
    await until('the outage is noticed', () => gated.state === 'down');
    await stage.set.forget!(stage.prefix);
    gate.pass();
    await gated.ready(15_000);
    await until('a gap is told', () => followed.gaps.length > 0, 2_000);
    await append(gated, 'a', 'after');
    await until('what is said is heard', () => followed.ids.includes('after'));
    expect([followed.ids, followed.gaps.length]).toEqual([['before', 'after'], 1]);
  });

  it('loses, doubles and misorders nothing when the broker is killed and started again', async () => {
    const { transport, broker } = await stage.set.mortal!(stage.prefix);
    const [speaker, hearer] = await Promise.all([keeping({ on: transport }), keeping({ on: transport })]);
    const followed = await Promise.all([speaker, hearer].map((bus) => follow(bus, 'a')));
    const talking = talk(speaker, 'm');
    await until('messages flow', () => followed[1]!.ids.length > 50);
    // RabbitMQ 3.10.8 writes the name of its first stream down after 5 s: killed before that, it starts without it.
    if (transport.features.log === 'shared') await new Promise((resolve) => setTimeout(resolve, 6_000));
    await broker.kill();
    await until('both have noticed', () => speaker.state === 'down' && hearer.state === 'down');
    await broker.start();
    await Promise.all([speaker.ready(30_000), hearer.ready(30_000)]);
    const before = followed[1]!.ids.length;
    await until('messages flow again', () => followed[1]!.ids.length > before + 50);
    const acknowledged = await talking.stop();
    await append(speaker, 'a', 'last');
    await until('both hear the last', () => followed.every(({ ids }) => ids.at(-1) === 'last'));
    const [one, other] = followed as [Following, Following];
    expect(one.told).toEqual(other.told);
    expect(new Set(one.ids).size).toBe(one.ids.length);
    expect(acknowledged.filter(({ id }) => !one.ids.includes(id))).toEqual([]);
    expect([one.gaps, other.gaps]).toEqual([[], []]);
    await Promise.all([speaker.close(), hearer.close()]);
  }, 90_000);
}

function message(id: string): Buffer {
  return encode({ id }, ['chat', `said as ${id}`]);
}

function append(bus: Bus, room: string, id: string): Promise<Position | undefined> {
  return bus.logs.append(room, message(id), id);
}

/** Follows a room's log, and resolves when its place in it is known. */
async function follow(bus: Bus, room: string): Promise<Following> {
  const [told, ids, gaps]: [Told[], string[], string[]] = [[], [], []];
  bus.on('gap', ({ message: why }, where) => {
    if (where === room) gaps.push(why);
  });
  const subscription = bus.logs.follow(room, (payload, pos) => {
    const { id = payload.toString() } = JSON.parse(headerOf(payload)) as { id?: string };
    told.push({ id, pos });
    ids.push(id);
  });
  await subscription.ready(15_000);
  return Object.defineProperties(subscription as Following, {
    told: { value: told },
    ids: { value: ids },
    gaps: { value: gaps },
  });
}

/** The JSON of a text message, or of the header of a binary one. */
function headerOf(payload: Buffer): string {
  return payload[0] === 1 ? payload.toString('utf8', 5, 5 + payload.readUInt32BE(1)) : payload.toString();
}

async function read(
  bus: Bus,
  room: string,
  where: { from?: Position; before?: Position; limit: number },
): Promise<[ids: string[], complete: boolean]> {
  const { entries, complete } = await bus.logs.read(room, where);
  return [entries.map(({ id }) => id), complete];
}

function replay(bus: Bus, room: string, since: Mark): Promise<[recovered: boolean, ids: string[]]> {
  return bus.logs.replay(room, since, idsOf);
}

function idsOf({ recovered, entries }: Missed): [recovered: boolean, ids: string[]] {
  return [recovered, entries.map(({ id }) => id)];
}

function opened(transport: Transport): Promise<Link> {
  const ignore = () => undefined;
  const events = { message: ignore, lost: ignore, blocked: ignore, gap: ignore, forgot: ignore };
  const { signal } = new AbortController();
  return transport.open(events, { instance: 'reader', signal, retention: KEPT.ttl, idWindow: 60_000 });
}

/** A transport that does not hand on the first copy of some messages. */
function swallowing(transport: Transport, ids: readonly string[]): Transport {
  const left = new Set(ids.map((id) => message(id).toString()));
  return {
    ...transport,
    open: (events, options) => {
      const hear = (channel: Channel, payload: Buffer, pos?: Position) => {
        if (!left.delete(payload.toString())) events.message(channel, payload, pos);
      };
      return transport.open({ ...eventsOf(events), message: hear }, options);
    },
  };
}

function eventsOf(events: Parameters<Transport['open']>[0]): Parameters<Transport['open']>[0] {
  return {
    message: (...args) => events.message(...args),
    lost: (cause) => events.lost(cause),
    blocked: (on) => events.blocked(on),
    gap: (cause, from) => events.gap(cause, from),
    forgot: () => events.forgot(),
  };
}
