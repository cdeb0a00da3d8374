import { encode } from './envelope.js';
import { BroadcastError } from './errors.js';
import { Logs, type LogsBus, type LogsOptions } from './logs.js';
import { positionOf, type Mark, type Position } from './position.js';
import type { Subscription } from './subscriptions.js';
import type { LogPage, RoomLog } from './transport.js';
import { MemoryLog } from './transports/memory.log.js';

const KEPT = { size: 1_000, ttl: 60_000 };

/** A bus over a log in memory, which acknowledges, fails and pushes when the test says so. */
class FakeBus implements LogsBus {
  readonly features = { network: true, redelivers: false, log: 'room' as 'room' | 'shared' };
  readonly callTimeout = 5_000;
  readonly linger = 1_000;
  readonly counts = { caughtUp: 0, gaps: 0, trimmed: 0, ringFull: 0, bufferFull: 0 };
  readonly histories = new MemoryLog();
  /** Rooms of each question for the ends of logs. */
  readonly asked: (readonly string[])[] = [];
  readonly gaps: (string | undefined)[] = [];
  readonly misreads: unknown[] = [];
  readonly failures: Error[] = [];
  readonly closed: string[] = [];
  reads = 0;
  /** What a broker has at a place that it does not have the id of. */
  at?: Buffer;
  isUp = true;
  /** What the next calls come to. */
  failing?: Error;
  silent = false;
  live = true;
  isBlocked = false;
  acknowledge: (timeout?: number) => Promise<void> = () => Promise.resolve();
  /** Whether what is appended is heard. */
  pushes = true;
  readonly #listeners = new Map<string, (payload: Buffer, channel: never, pos?: Position) => void>();

  blocked(): boolean {
    return this.isBlocked;
  }

  log(): RoomLog {
    if (!this.isUp) throw new BroadcastError('UNAVAILABLE', 'there is no link');
    return {
      append: () => Promise.reject(new Error('unused')),
      read: (room, options) => {
        this.reads++;
        return this.#answer((): LogPage => {
          const page = this.histories.read(room, options);
          return page.at && this.at ? { ...page, at: { ...page.at, payload: this.at } } : page;
        });
      },
      tops: (rooms) => {
        this.asked.push(rooms);
        return this.#answer((): Mark[] => rooms.map((room) => this.histories.top(room)));
      },
    };
  }

  subscribe(
    channel: `log:${string}`,
    listener: (payload: Buffer, channel: never, pos?: Position) => void,
  ): Subscription {
    this.#listeners.set(channel, listener);
    const isLive = () => this.live;
    return {
      channel,
      get live() {
        return isLive();
      },
      ready: (timeout) => this.acknowledge(timeout),
      close: () => {
        this.closed.push(channel);
        this.#listeners.delete(channel);
      },
    };
  }

  append(room: string, payload: Buffer, options: { id: string; size: number; ttl: number }): Promise<Position> {
    const { pos } = this.histories.append(room, payload, options, 60_000);
    if (this.pushes) this.push(room, payload, pos);
    return Promise.resolve(pos);
  }

  push(room: string, payload: Buffer, pos?: Position): void {
    this.#listeners.get(`log:${room}`)?.(payload, undefined as never, pos);
  }

  open(_channel: string, payload: Buffer): Buffer {
    if (payload.includes('forged')) throw new BroadcastError('UNTRUSTED', 'it is not signed');
    return payload;
  }

  failed(cause: Error): void {
    this.failures.push(cause);
  }

  misread(_channel: string, thrown: unknown): void {
    this.misreads.push(thrown);
  }

  gap(_cause: Error, room: string): void {
    this.gaps.push(room);
  }

  #answer<T>(look: () => T): Promise<T> {
    if (this.silent) return new Promise(() => undefined);
    return this.failing ? Promise.reject(this.failing) : Promise.resolve().then(look);
  }
}

function setUp(options: LogsOptions = {}) {
  const bus = new FakeBus();
  const logs = new Logs(bus, { history: KEPT, ...options });
  const say = (room: string, id: string, text = id) => logs.append(room, encode({ id }, ['chat', text]), id);
  const heard: string[] = [];
  const hear = (payload: Buffer) => heard.push((JSON.parse(payload.toString()) as { id: string }).id);
  return { bus, logs, say, heard, hear };
}

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

describe('following', () => {
  it('is ready when the place in the log is known, not when the subscription is acknowledged', async () => {
    const { bus, logs } = setUp();
    bus.silent = true;
    const subscription = logs.follow('a', () => undefined);
    const refused = expect(subscription.ready(100)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await pass(200);
    await refused;
    expect([subscription.live, logs.markOf('a')]).toEqual([false, undefined]);
  });

  it('asks for the ends of all that are followed in one turn at once', async () => {
    const { bus, logs } = setUp();
    for (const room of ['a', 'b', 'c']) logs.follow(room, () => undefined);
    await pass(0);
    expect(bus.asked).toEqual([['a', 'b', 'c']]);
    expect(logs.size).toBe(3);
  });

  it('finds its place though the subscription is acknowledged later than one call may take', async () => {
    const { bus, logs, say, heard, hear } = setUp();
    bus.live = false;
    let acknowledged!: () => void;
    const late = new Promise<void>((resolve) => (acknowledged = resolve));
    bus.acknowledge = (timeout = bus.callTimeout) =>
      Promise.race([
        late,
        pause(timeout).then(() => Promise.reject(new BroadcastError('UNAVAILABLE', 'not acknowledged'))),
      ]);
    logs.follow('a', hear);
    logs.up();
    await pass(12_000);
    expect(bus.asked).toEqual([]);
    acknowledged();
    await pass(10);
    await say('a', '1');
    expect(heard).toEqual(['1']);
  });

  it('tries again when the log cannot be read though the link stays', async () => {
    const { bus, logs, say, heard, hear } = setUp();
    logs.up();
    logs.follow('a', hear);
    await pass(0);
    bus.pushes = false;
    await say('a', '1');
    bus.pushes = true;
    bus.failing = new Error('BUSY');
    await say('a', '2');
    await pass(2_000);
    expect(heard).toEqual([]);
    bus.failing = undefined;
    await pass(600);
    expect(heard).toEqual(['1', '2']);
  });

  it('does not try while there is no link, and does when there is one', async () => {
    const { bus, logs, say, heard, hear } = setUp();
    logs.up();
    logs.follow('a', hear);
    await pass(0);
    [bus.isUp, bus.pushes] = [false, false];
    logs.down();
    await say('a', '1');
    await pass(5_000);
    expect([heard, bus.reads]).toEqual([[], 0]);
    [bus.isUp, bus.pushes] = [true, true];
    logs.up();
    await pass(0);
    expect([heard, bus.counts.caughtUp]).toEqual([['1'], 1]);
  });

  it('keeps what is at hand when a room is left and joined again within the linger, and lets go of it after', async () => {
    const { bus, logs, say } = setUp();
    const first = logs.follow('a', () => undefined);
    await pass(0);
    await say('a', '1');
    expect(logs.ringsBytes).toBeGreaterThan(0);
    first.close();
    first.close();
    await pass(900);
    const second = logs.follow('a', () => undefined);
    await pass(2_000);
    expect([logs.size, bus.closed, second.live, first.live]).toEqual([1, [], true, false]);
    second.close();
    await pass(1_100);
    expect([logs.size, logs.ringsBytes, bus.closed]).toEqual([0, 0, ['log:a']]);
  });

  it('goes on when a listener throws: the others hear it, and it is told', async () => {
    const { bus, logs, say, heard, hear } = setUp();
    logs.follow('a', () => {
      throw new Error('no');
    });
    logs.follow('a', hear);
    await pass(0);
    await say('a', '1');
    expect([heard, bus.misreads]).toEqual([['1'], [new Error('no')]]);
  });

  it('counts and tells a gap, by its room', async () => {
    const { bus, logs } = setUp();
    bus.features.log = 'shared';
    for (const room of ['a', 'b']) logs.follow(room, () => undefined);
    await pass(0);
    logs.lost(new Error('made anew'), { pos: positionOf('s', 7) });
    expect([bus.gaps, bus.counts.gaps, logs.markOf('a')]).toEqual([['a', 'b'], 2, { pos: 's.7', id: undefined }]);
  });
});

describe('the watch', () => {
  it('finds what was not pushed, and compares a thousand rooms at a time', async () => {
    const { bus, logs, say, heard, hear } = setUp({ watchInterval: 1_000 });
    logs.up();
    for (let i = 0; i < 1_500; i++) logs.follow(`r${i}`, i === 7 ? hear : () => undefined);
    await pass(0);
    bus.asked.length = 0;
    bus.pushes = false;
    await say('r7', 'unheard');
    await pass(1_000);
    expect(bus.asked.map(({ length }) => length)).toEqual([1_000, 500]);
    await pass(2_100);
    expect([heard, bus.gaps]).toEqual([['unheard'], []]);
  });

  it('takes a broker that does not answer for a dead link, and one that refuses not', async () => {
    const { bus, logs } = setUp({ watchInterval: 10_000 });
    logs.up();
    logs.follow('a', () => undefined);
    await pass(0);
    bus.failing = new Error('BUSY');
    await pass(10_100);
    expect(bus.failures).toEqual([]);
    [bus.failing, bus.silent] = [undefined, true];
    await pass(15_100);
    expect(bus.failures).toMatchObject([{ code: 'TIMEOUT' }]);
  });

  it('rests while there is no link, where nothing is kept, and when it is over', async () => {
    const { bus, logs } = setUp({ watchInterval: 1_000 });
    logs.up();
    logs.down();
    await pass(3_000);
    logs.up();
    logs.close();
    await pass(3_000);
    const live = setUp({ history: { size: 0 }, watchInterval: 1_000 });
    live.logs.up();
    await pass(3_000);
    expect([bus.asked, live.bus.asked, jest.getTimerCount()]).toEqual([[], [], 0]);
  });
});

describe('what is at hand', () => {
  it('is bounded over all rooms, whose oldest let go first; those that have nothing are not counted', async () => {
    const { bus, logs, say } = setUp({ ringsBytes: 10_000 });
    for (const room of ['empty', 'a', 'b']) logs.follow(room, () => undefined);
    await pass(0);
    for (const [room, id] of [
      ['a', '1'],
      ['b', '2'],
      ['b', '3'],
    ] as const)
      await say(room, id, 'x'.repeat(3_500));
    expect(bus.counts.trimmed).toBe(1);
    expect(logs.ringsBytes).toBeGreaterThan(7_000);
    expect(logs.ringsBytes).toBeLessThan(8_000);
  });

  it('is read from the broker otherwise, with more patience than a call has, and not without end', async () => {
    const { bus, logs } = setUp({ readTimeout: 20_000 });
    bus.silent = true;
    let failure: unknown;
    logs.read('a', { limit: 1 }).catch((error: unknown) => (failure = error));
    await pass(19_900);
    expect(failure).toBeUndefined();
    await pass(200);
    expect(failure).toMatchObject({ code: 'TIMEOUT' });
  });

  it('answers for the end of a log that is heard, and for nothing else', async () => {
    const { bus, logs, say } = setUp();
    logs.follow('a', () => undefined);
    await pass(0);
    for (const id of ['1', '2', '3']) await say('a', id);
    const ids = async (limit: number) => (await logs.read('a', { limit })).entries.map(({ id }) => id);
    expect([await ids(2), bus.reads]).toEqual([['2', '3'], 0]);
    expect([await ids(3), bus.reads]).toEqual([['1', '2', '3'], 1]);
    bus.pushes = false;
    await say('a', '4');
    expect([await ids(2), bus.reads]).toEqual([['3', '4'], 2]);
  });
});

describe('reading and replaying', () => {
  it('shows nothing that is not to be trusted, and counts it', async () => {
    const { bus, logs, say } = setUp();
    logs.follow('a', () => undefined);
    await pass(0);
    const since = logs.markOf('a')!;
    bus.pushes = false;
    await say('a', 'forged');
    bus.pushes = true;
    await say('a', '1');
    await pass(0);
    expect(bus.misreads).toMatchObject([{ code: 'UNTRUSTED' }]);
    expect((await logs.read('a', { limit: 9 })).entries.map(({ id }) => id)).toEqual(['1']);
    const replayed = await logs.replay('a', since, ({ recovered, entries }) => [
      recovered,
      entries.map(({ id }) => id),
    ]);
    expect(replayed).toEqual([true, ['1']]);
  });

  it('does not call untrusted what stands at the place where it resumes', async () => {
    const { bus, logs, say } = setUp();
    const pos = (await say('a', 'forged'))!;
    await say('a', '1');
    bus.at = Buffer.from('forged');
    const { entries, complete } = await logs.read('a', { from: pos, limit: 9 });
    expect([entries.map(({ id }) => id), complete, bus.misreads]).toEqual([['1'], true, []]);
  });

  it('is not complete where there is more, or where the place is not there any more', async () => {
    const { logs, say } = setUp({ history: { size: 2, ttl: 60_000 } });
    const places = [];
    for (const id of ['1', '2', '3', '4']) places.push((await say('a', id))!);
    const complete = async (from: Position | undefined, limit = 9) => (await logs.read('a', { from, limit })).complete;
    expect(await complete(places[2])).toBe(true);
    expect(await complete(places[3])).toBe(true);
    expect(await complete(places[0])).toBe(false);
    expect(await complete('elsewhere.1')).toBe(false);
    expect(await complete(positionOf(places[0]!.split('.')[0]!, 0))).toBe(false);
    expect(await complete(undefined, 1)).toBe(false);
  });

  it.each(['append', 'read', 'follow', 'replay'] as const)('is refused in a live room: %s', async (method) => {
    const { logs, say } = setUp({ profiles: { live: { history: { size: 0 } } } });
    const attempts = {
      append: () => say('live:1', '1'),
      read: () => logs.read('live:1', { limit: 1 }),
      follow: async () => logs.follow('live:1', () => undefined),
      replay: () => logs.replay('live:1', { pos: 'e.1' }, () => undefined),
    };
    await expect(attempts[method]()).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
