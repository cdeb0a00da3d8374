import fc from 'fast-check';
import { encode } from './envelope.js';
import { Feed, lazyEntry, type FeedOptions, type Missed, type StoredPage } from './feed.js';
import { epochOf, offsetOf, positionOf, type Mark, type Position } from './position.js';
import type { ReadOptions } from './transport.js';

interface Stored {
  readonly pos: Position;
  readonly id: string;
  readonly payload: Buffer;
}

function stored(epoch: string, offset: number, id = `${epoch}-${offset}`): Stored {
  return { pos: positionOf(epoch, offset), id, payload: encode({ id }, ['x']) };
}

/** A room's log at a broker whose answers take as long as the test wants, over a link that may be down. */
class Broker {
  epoch = 'e1';
  top: Mark = { pos: 'e1.0' };
  /** All that was ever said, and what of it is still kept. */
  readonly said: Stored[] = [];
  kept: Stored[] = [];
  isUp = true;
  /** Questions that the broker has yet to look at, and answers that are on their way. */
  readonly asked: { look: () => unknown; resolve: (answer: never) => void; reject: (error: Error) => void }[] = [];
  readonly answers: { deliver: () => void; fail: () => void }[] = [];
  reads = 0;
  /** Whether questions are answered at once. */
  prompt = true;

  say(id?: string): Stored {
    const entry = stored(this.epoch, offsetOf(this.top.pos) + 1, id);
    this.said.push(entry);
    this.kept.push(entry);
    this.top = { pos: entry.pos, id: entry.id };
    return entry;
  }

  trim(left: number): void {
    this.kept = left === 0 ? [] : this.kept.slice(-left);
  }

  flush(): void {
    this.epoch = `e${Number(this.epoch.slice(1)) + 1}`;
    this.top = { pos: positionOf(this.epoch, 0) };
    this.kept = [];
  }

  read({ from, limit }: ReadOptions): Promise<StoredPage> {
    this.reads++;
    return this.#ask(() => {
      if (epochOf(from!) !== this.epoch) return { entries: [], more: false };
      const offset = offsetOf(from!);
      const first = this.kept[0];
      const isStart = offset === 0 && first !== undefined && offsetOf(first.pos) === 1;
      const found = this.kept.find(({ pos }) => pos === from);
      const at =
        from === this.top.pos ? this.top : isStart ? { pos: from! } : found && { pos: found.pos, id: found.id };
      const entries = this.kept.filter(({ pos }) => offsetOf(pos) > offset);
      return { at, entries: entries.slice(0, limit), more: entries.length > limit };
    });
  }

  end(): Promise<Mark> {
    return this.#ask(() => this.top);
  }

  /** Looks at the oldest question. */
  look(): void {
    const question = this.asked.shift();
    if (!question) return;
    const answer = question.look() as never;
    this.answers.push({ deliver: () => question.resolve(answer), fail: () => question.reject(new Error('link lost')) });
  }

  down(): void {
    this.isUp = false;
    for (const { reject } of this.asked.splice(0)) reject(new Error('link lost'));
    for (const { fail } of this.answers.splice(0)) fail();
  }

  #ask<T>(look: () => T): Promise<T> {
    if (!this.isUp) return Promise.reject(new Error('there is no link'));
    return new Promise<T>((resolve, reject) => {
      this.asked.push({ look, resolve, reject });
      if (!this.prompt) return;
      this.look();
      this.answers.shift()!.deliver();
    });
  }
}

type Event = { heard: Position } | { gap: string };

function follow(broker: Broker, options: Partial<FeedOptions> = {}) {
  const events: Event[] = [];
  const full: string[] = [];
  let stuck = 0;
  const feed = new Feed({
    room: 'a',
    contiguous: true,
    ringSize: 100,
    ttl: 60_000,
    ringBytes: 1_000_000,
    bufferSize: 1_000,
    read: (request) => broker.read(request),
    top: () => broker.end(),
    deliver: (payload, pos) => events.push({ heard: pos ?? payload.toString() }),
    gap: ({ message }) => events.push({ gap: message }),
    full: (what) => full.push(what),
    stuck: () => stuck++,
    ...options,
  });
  const push = ({ payload, pos }: Stored) => feed.receive(payload, pos);
  return {
    feed,
    events,
    full,
    push,
    heard: () => events.flatMap((event) => ('heard' in event ? [event.heard] : [])),
    gaps: () => events.flatMap((event) => ('gap' in event ? [event.gap] : [])),
    stuck: () => stuck,
    /** Says something that arrives at once. */
    say: (id?: string) => push(broker.say(id)),
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function positions({ entries }: Missed): Position[] {
  return entries.map(({ pos }) => pos);
}

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
afterEach(() => void jest.useRealTimers());

describe('a feed', () => {
  it('begins at the end of the log, and goes on from there', async () => {
    const broker = new Broker();
    broker.say();
    const { feed, heard, say } = follow(broker);
    expect([feed.isLive, feed.last]).toEqual([false, undefined]);
    await feed.align();
    expect([feed.isLive, feed.last]).toEqual([true, { pos: 'e1.1', id: 'e1-1' }]);
    say();
    expect(heard()).toEqual(['e1.2']);
    expect(broker.reads).toBe(0);
  });

  it('holds back what arrives while it looks for its place, and delivers of it what comes after that', async () => {
    const broker = new Broker();
    broker.prompt = false;
    const { feed, heard, say } = follow(broker);
    const aligning = feed.align();
    say();
    broker.look();
    say();
    expect(heard()).toEqual([]);
    broker.answers.shift()!.deliver();
    await aligning;
    expect(heard()).toEqual(['e1.2']);
  });

  it('lets messages without a position through at once', () => {
    const { feed, heard } = follow(new Broker());
    feed.receive(Buffer.from('live'), undefined);
    expect(heard()).toEqual(['live']);
  });

  it('reads what is missing as soon as something later arrives', async () => {
    const broker = new Broker();
    const { feed, events, say } = follow(broker);
    await feed.align();
    broker.say();
    broker.say();
    say();
    await turn();
    expect(events).toEqual([{ heard: 'e1.1' }, { heard: 'e1.2' }, { heard: 'e1.3' }]);
    expect(feed.isLive).toBe(true);
  });

  it('reads what is missing when positions are compared, though nothing arrives any more', async () => {
    const broker = new Broker();
    const { feed, events } = follow(broker);
    await feed.align();
    broker.say();
    const compared = feed.compare(broker.top);
    await jest.advanceTimersByTimeAsync(1_900);
    expect(events).toEqual([]); // it may be on its way
    await jest.advanceTimersByTimeAsync(200);
    await compared;
    expect(events).toEqual([{ heard: 'e1.1' }]);
  });

  it('asks nobody when what was ahead of it arrives, or when it has gone on meanwhile', async () => {
    const broker = new Broker();
    const { feed, say, push } = follow(broker);
    await feed.align();
    const ahead = broker.say();
    const compared = feed.compare(broker.top);
    push(ahead);
    await compared;
    await feed.compare(broker.top);
    expect(broker.reads).toBe(0);
    const { top } = broker;
    say();
    await feed.compare(top);
    expect([broker.reads, feed.isLive]).toEqual([1, true]);
  });

  it('delivers a copy to nobody', async () => {
    const broker = new Broker();
    const { feed, events, push } = follow(broker);
    await feed.align();
    const [one, two] = [broker.say(), broker.say()];
    for (const each of [one, two, one, two]) push(each);
    await turn();
    expect(events).toEqual([{ heard: 'e1.1' }, { heard: 'e1.2' }]);
    expect(feed.isLive).toBe(true);
  });

  it.each([
    ['was cut behind it', (broker: Broker) => broker.trim(1), 'is not kept any more'],
    ['was deleted', (broker: Broker) => broker.flush(), 'is not kept any more'],
    [
      'was replaced by another of the same epoch',
      (broker: Broker) => {
        broker.top = { pos: 'e1.1', id: 'other' };
        broker.kept = [stored('e1', 1, 'other')];
      },
      'it has been replaced since',
    ],
  ])('tells of a gap when the log %s while nothing was heard, and goes on after it', async (_, harm, why) => {
    const broker = new Broker();
    const { feed, events, gaps, say } = follow(broker);
    await feed.align();
    say();
    feed.interrupt();
    broker.say();
    broker.say();
    harm(broker);
    await feed.align();
    expect(events).toHaveLength(2);
    expect(gaps()).toEqual([expect.stringContaining(why)]);
    expect(feed.last).toEqual(broker.top);
    say();
    expect(events[2]).toEqual({ heard: broker.top.pos });
  });

  it('tells of a gap when a message has been taken out of the middle of the log', async () => {
    const broker = new Broker();
    const { feed, say, gaps, heard } = follow(broker);
    await feed.align();
    say();
    feed.interrupt();
    for (let i = 0; i < 3; i++) broker.say();
    broker.kept.splice(2, 1);
    await feed.align();
    expect([gaps().length, heard(), feed.last?.pos]).toEqual([1, ['e1.1'], 'e1.4']);
  });

  it('tells of a gap when a message of another log arrives', async () => {
    const broker = new Broker();
    const { feed, say, gaps } = follow(broker);
    await feed.align();
    say();
    broker.flush();
    say();
    await turn();
    expect(gaps()).toHaveLength(1);
    expect(feed.last).toEqual(broker.top);
  });

  it('tells of a gap when the first message of another log arrives while the one of before is still being read', async () => {
    const broker = new Broker();
    const { feed, say, gaps } = follow(broker);
    await feed.align();
    say();
    feed.interrupt();
    broker.prompt = false;
    const aligning = feed.align();
    broker.look();
    broker.flush();
    say();
    broker.prompt = true;
    broker.answers.shift()!.deliver();
    await aligning;
    expect(gaps()).toHaveLength(1);
    expect(feed.last).toEqual(broker.top);
  });

  it('tells of a gap, and does not read for ever, when what it has heard is not in the log', async () => {
    const broker = new Broker();
    const { feed, say, push, gaps, heard } = follow(broker);
    await feed.align();
    say();
    push(stored('e1', 9));
    await turn();
    expect([feed.isLive, gaps().length, feed.last?.pos]).toEqual([true, 1, 'e1.1']);
    say();
    expect(heard()).toEqual(['e1.1', 'e1.2']);
    expect(broker.reads).toBeLessThan(5);
  });

  it('is not live when the link was lost in the very turn of the answer', async () => {
    const broker = new Broker();
    const { feed, say, heard } = follow(broker);
    await feed.align();
    say();
    feed.interrupt();
    broker.prompt = false;
    const aligning = feed.align();
    broker.look();
    broker.answers.shift()!.deliver();
    feed.interrupt();
    broker.down();
    broker.say();
    await expect(aligning).rejects.toThrow('there is no link');
    expect(feed.isLive).toBe(false);
    [broker.isUp, broker.prompt] = [true, true];
    await feed.align();
    expect(heard()).toEqual(['e1.1', 'e1.2']);
  });

  it('says that it is stuck when the log cannot be read, holds back, and goes on when it is asked again', async () => {
    const broker = new Broker();
    const { feed, say, heard, stuck } = follow(broker);
    await feed.align();
    broker.say();
    broker.isUp = false;
    say();
    await turn();
    expect([feed.isLive, stuck(), heard()]).toEqual([false, 1, []]);
    say();
    broker.isUp = true;
    await feed.align();
    expect([feed.isLive, stuck(), heard()]).toEqual([true, 1, ['e1.1', 'e1.2', 'e1.3']]);
  });

  it('reads what did not fit into the buffer', async () => {
    const broker = new Broker();
    const { feed, say, heard, full } = follow(broker, { bufferSize: 2 });
    await feed.align();
    feed.interrupt();
    broker.prompt = false;
    const aligning = feed.align();
    broker.look();
    for (let i = 0; i < 5; i++) say();
    broker.prompt = true;
    broker.answers.shift()!.deliver();
    await aligning;
    expect(heard()).toEqual([1, 2, 3, 4, 5].map((n) => `e1.${n}`));
    expect(full).toEqual(['buffer', 'buffer', 'buffer']);
  });

  it('reads a long log page by page', async () => {
    const broker = new Broker();
    const { feed, heard } = follow(broker);
    await feed.align();
    for (let i = 0; i < 2_500; i++) broker.say();
    feed.interrupt();
    await feed.align();
    expect([heard().length, broker.reads]).toEqual([2_500, 3]);
  });

  it('keeps as much at hand as it may, in messages and in bytes', async () => {
    const broker = new Broker();
    const { feed, say, full } = follow(broker, { ringSize: 10, ringBytes: 1_000 });
    await feed.align();
    for (let i = 0; i < 200; i++) {
      say();
      expect(feed.ringBytes).toBeLessThanOrEqual(1_000);
    }
    expect(feed.ringBytes).toBeGreaterThan(300);
    const before = full.length;
    say('x'.repeat(2_000));
    expect(full.slice(before)).toEqual(['ring']);
    expect([feed.ringBytes, feed.latest(1)]).toEqual([0, undefined]);
  });

  it('shows of what is at hand no more than the room keeps, and for no longer', async () => {
    const broker = new Broker();
    const { feed, say } = follow(broker, { ringSize: 5, ttl: 1_000 });
    await feed.align();
    for (let i = 0; i < 9; i++) say();
    expect(feed.latest(5)?.map(({ pos }) => pos)).toEqual([5, 6, 7, 8, 9].map((n) => `e1.${n}`));
    expect(feed.latest(6)).toBeUndefined();
    await jest.advanceTimersByTimeAsync(1_001);
    expect(feed.latest(5)).toBeUndefined();
    say();
    expect(feed.latest(5)).toHaveLength(5);
    feed.interrupt();
    expect(feed.latest(5)).toBeUndefined();
  });
});

describe('a feed of a log that is shared', () => {
  it('does not mind steps between its messages, and drops what comes again', async () => {
    const broker = new Broker();
    const { feed, push, heard, gaps } = follow(broker, { contiguous: false });
    await feed.align();
    for (const offset of [3, 7, 7, 3, 12]) push(stored('e1', offset));
    feed.interrupt();
    expect(feed.isLive).toBe(true);
    push(stored('e1', 13));
    expect([heard(), gaps(), broker.reads]).toEqual([['e1.3', 'e1.7', 'e1.12', 'e1.13'], [], 0]);
  });

  it('is at the end of the log when positions are compared, and never goes back', async () => {
    const { feed, push } = follow(new Broker(), { contiguous: false });
    await feed.align();
    push(stored('e1', 3));
    await feed.compare({ pos: 'e1.9', id: 'mark' });
    expect(feed.last).toEqual({ pos: 'e1.9', id: 'mark' });
    await feed.compare({ pos: 'e1.5', id: 'mark of before' });
    expect(feed.last?.pos).toBe('e1.9');
  });

  it('goes on where it is told to after a loss, and takes nothing that waited from before for something later', async () => {
    const broker = new Broker();
    broker.prompt = false;
    const { feed, push, events, heard } = follow(broker, { contiguous: false });
    const aligning = feed.align();
    push(stored('e1', 50));
    feed.lose(new Error('made anew'), { pos: 'e1.0' });
    push(stored('e1', 1));
    broker.look();
    broker.answers.shift()!.deliver();
    await aligning;
    push(stored('e1', 2));
    expect(events[0]).toEqual({ gap: 'made anew' });
    expect(heard()).toEqual(['e1.1', 'e1.2']);
  });

  it('takes nothing out of a log that was lost while it was being read', async () => {
    const broker = new Broker();
    broker.prompt = false;
    const { feed, say, push, events } = follow(broker, { contiguous: false, bufferSize: 1 });
    const aligning = feed.align();
    broker.look();
    for (let i = 0; i < 3; i++) say();
    broker.answers.shift()!.deliver();
    await turn();
    broker.look();
    feed.lose(new Error('made anew'), { pos: 'e1.0' });
    broker.answers.shift()!.deliver();
    await aligning;
    push(stored('e1', 1, 'new'));
    expect(events).toEqual([{ heard: 'e1.1' }, { gap: 'made anew' }, { heard: 'e1.1' }]);
  });

  it('replays though all that is at hand is let go of while it reads, and nothing was said since', async () => {
    const broker = new Broker();
    const { feed, push } = follow(broker, { contiguous: false });
    await feed.align();
    push(stored('e1', 3));
    const mark = stored('e1', 5, 'mark');
    broker.kept.push(mark);
    const go = async (offset: number) => {
      await feed.compare({ pos: positionOf('e1', offset), id: 'later mark' });
      feed.trim();
    };
    await go(7);
    broker.prompt = false;
    const replaying = feed.replay(mark, 9, (missed) => missed);
    broker.look();
    await go(20);
    broker.prompt = true;
    broker.answers.shift()!.deliver();
    expect(await replaying).toEqual({ recovered: true, entries: [] });
  });

  it('reads what did not fit into the buffer while it looked for its place', async () => {
    const broker = new Broker();
    broker.prompt = false;
    const { feed, say, heard } = follow(broker, { contiguous: false, bufferSize: 2 });
    const aligning = feed.align();
    broker.look();
    for (let i = 0; i < 5; i++) say();
    broker.prompt = true;
    broker.answers.shift()!.deliver();
    await aligning;
    expect(heard()).toEqual([1, 2, 3, 4, 5].map((n) => `e1.${n}`));
  });
});

describe('replaying', () => {
  async function talked(options?: Partial<FeedOptions>) {
    const broker = new Broker();
    const followed = follow(broker, options);
    await followed.feed.align();
    for (let i = 0; i < 10; i++) followed.say();
    const replay = (since: Mark, limit = 100) => followed.feed.replay(since, limit, (missed) => missed);
    return { broker, ...followed, replay, mark: (n: number): Mark => ({ pos: `e1.${n}`, id: `e1-${n}` }) };
  }

  it('gives what is at hand without asking the broker', async () => {
    const { broker, replay, mark } = await talked();
    expect(positions(await replay(mark(7)))).toEqual(['e1.8', 'e1.9', 'e1.10']);
    expect(await replay(mark(10))).toEqual({ recovered: true, entries: [] });
    expect(positions(await replay({ pos: 'e1.0' }))).toHaveLength(10);
    expect(broker.reads).toBe(0);
  });

  it('reads what is not at hand, and joins it to what is', async () => {
    const { broker, feed, say, replay, mark } = await talked();
    feed.trim();
    say();
    expect(positions(await replay(mark(8)))).toEqual(['e1.9', 'e1.10', 'e1.11']);
    expect(broker.reads).toBe(1);
  });

  it('counts in what is delivered while it reads, and nothing that is not yet', async () => {
    const { broker, feed, say, push, mark } = await talked();
    feed.trim();
    broker.prompt = false;
    const replaying = feed.replay(mark(8), 100, (missed) => ({ missed, last: feed.last?.pos }));
    const early = broker.say();
    const late = broker.say();
    broker.look();
    push(early);
    broker.answers.shift()!.deliver();
    const { missed, last } = await replaying;
    expect([positions(missed), last]).toEqual([['e1.9', 'e1.10', 'e1.11'], 'e1.11']);
    push(late);
    say();
    expect(feed.last?.pos).toBe('e1.13');
  });

  it('reads on when what came meanwhile is not at hand any more', async () => {
    const { broker, feed, say, mark } = await talked();
    feed.trim();
    broker.prompt = false;
    const replaying = feed.replay(mark(8), 100, (missed) => missed);
    broker.look();
    say();
    feed.trim();
    broker.prompt = true;
    broker.answers.shift()!.deliver();
    expect(positions(await replaying)).toEqual(['e1.9', 'e1.10', 'e1.11']);
  });

  it('promises nothing when what was heard after the place is not in the log any more', async () => {
    const { broker, feed, replay, mark } = await talked();
    feed.trim();
    broker.kept = broker.kept.slice(0, 8);
    expect(await replay(mark(8))).toEqual({ recovered: false, entries: [] });
    expect(await replay(mark(7))).toEqual({ recovered: false, entries: [] });
  });

  it.each<[string, Mark]>([
    ['another id', { pos: 'e1.7', id: 'other' }],
    ['another id at the end', { pos: 'e1.10', id: 'other' }],
    ['no id', { pos: 'e1.7' }],
    ['an epoch that is not known', { pos: 'e0.7', id: 'e0-7' }],
    ['an id at the start, where there is none', { pos: 'e1.0', id: 'x' }],
  ])('promises nothing for %s', async (_, since) => {
    const { feed, replay } = await talked();
    expect(await replay(since)).toEqual({ recovered: false, entries: [] });
    feed.trim();
    expect(await replay(since)).toEqual({ recovered: false, entries: [] });
  });

  it('promises nothing, at once, for a place beyond the end of the log', async () => {
    const { replay } = await talked();
    const began = performance.now();
    expect(await replay({ pos: 'e1.99', id: 'e1-99' })).toEqual({ recovered: false, entries: [] });
    expect(performance.now()).toBe(began);
  });

  it('waits for what another instance has shown already', async () => {
    const { broker, push, replay } = await talked();
    const [shown, next] = [broker.say(), broker.say()];
    const replaying = replay({ pos: shown.pos, id: shown.id });
    await turn();
    push(shown);
    push(next);
    // What comes in the same turn is heard after having entered, or is among what was missed: never both.
    expect(positions(await replaying)).toEqual([next.pos]);
  });

  it('promises nothing when the log has been cut behind the place', async () => {
    const { broker, feed, replay, mark } = await talked();
    feed.trim();
    broker.trim(3);
    expect(await replay(mark(5))).toEqual({ recovered: false, entries: [] });
    expect(positions(await replay(mark(8)))).toEqual(['e1.9', 'e1.10']);
    broker.trim(0);
    expect(await replay(mark(9))).toEqual({ recovered: false, entries: [] });
    expect(await replay({ pos: 'e1.0' })).toEqual({ recovered: false, entries: [] });
  });

  it('promises nothing beyond its limit, at hand or not', async () => {
    const { feed, replay, mark } = await talked();
    for (const prepare of [() => undefined, () => feed.trim()]) {
      prepare();
      expect(positions(await replay(mark(5), 5))).toHaveLength(5);
      expect(await replay(mark(4), 5)).toEqual({ recovered: false, entries: [] });
    }
  });

  it('promises nothing when the log turns out to be another meanwhile', async () => {
    const { broker, feed, mark } = await talked();
    feed.trim();
    broker.prompt = false;
    const replaying = feed.replay(mark(8), 100, (missed) => missed);
    broker.look();
    feed.lose(new Error('made anew'), { pos: 'e1.8' });
    broker.answers.shift()!.deliver();
    expect(await replaying).toEqual({ recovered: false, entries: [] });
  });

  it('is refused before there is a place, and when the log cannot be read', async () => {
    const { broker, feed, replay, mark } = await talked();
    await expect(follow(new Broker()).feed.replay(mark(1), 9, () => 0)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    feed.trim();
    broker.isUp = false;
    await expect(replay(mark(8))).rejects.toThrow('there is no link');
  });
});

describe('whatever happens in whatever order', () => {
  type Step = (run: Run) => unknown;

  interface Run {
    readonly broker: Broker;
    readonly followed: ReturnType<typeof follow>;
    /** What is on its way to the feed. */
    pushes: Stored[];
    replays: Promise<unknown>[];
    readonly seen: { recovered: number };
  }

  const step = (name: string, act: Step) => Object.assign(act, { toString: () => name });
  const up = ({ broker, followed: { feed } }: Run) => {
    broker.isUp = true;
    feed.align().catch(() => undefined);
  };
  const arrive = (run: Run) => {
    const next = run.pushes.shift();
    if (next) run.followed.push(next);
  };
  const replay = (run: Run, back: number) => {
    const { broker, followed, seen } = run;
    const { feed } = followed;
    const since = broker.said.at(-1 - back);
    if (!since || !feed.last) return;
    const replaying = feed.replay({ pos: since.pos, id: since.id }, 1_000, ({ recovered, entries }) => {
      if (!recovered) return;
      seen.recovered++;
      const [from, to] = [offsetOf(since.pos), offsetOf(feed.last!.pos)];
      expect(epochOf(feed.last!.pos)).toBe(epochOf(since.pos));
      const missed = Array.from({ length: to - from }, (_, i) => positionOf(epochOf(since.pos), from + i + 1));
      expect(entries.map(({ pos }) => pos)).toEqual(missed);
      expect(entries.every(({ pos, id }) => broker.said.some((each) => each.pos === pos && each.id === id))).toBe(true);
    });
    run.replays.push(replaying.catch((error: Error) => expect(error.message).toMatch(/link|not read yet/)));
  };
  const steps: fc.Arbitrary<Step> = fc.oneof(
    { weight: 8, arbitrary: fc.constant(step('say', (run) => run.pushes.push(run.broker.say()))) },
    { weight: 8, arbitrary: fc.constant(step('arrive', arrive)) },
    { weight: 5, arbitrary: fc.constant(step('look', ({ broker }) => broker.look())) },
    { weight: 5, arbitrary: fc.constant(step('answer', ({ broker }) => broker.answers.shift()?.deliver())) },
    { weight: 2, arbitrary: fc.constant(step('swallow', ({ pushes }) => pushes.shift())) },
    {
      weight: 2,
      arbitrary: fc.constant(
        step('outage', (run) => {
          run.pushes = [];
          run.broker.down();
          run.followed.feed.interrupt();
        }),
      ),
    },
    { weight: 3, arbitrary: fc.constant(step('up', up)) },
    { weight: 3, arbitrary: fc.nat(9).map((back) => step(`replay ${back}`, (run) => replay(run, back))) },
    { weight: 1, arbitrary: fc.nat(5).map((left) => step(`trim ${left}`, ({ broker }) => broker.trim(left))) },
    { weight: 1, arbitrary: fc.constant(step('let go', ({ followed: { feed } }) => feed.trim())) },
    { weight: 1, arbitrary: fc.constant(step('flush', ({ broker }) => broker.flush())) },
    {
      weight: 1,
      arbitrary: fc.constant(
        step('compare', ({ broker, followed: { feed } }) => void feed.compare(broker.top).catch(() => undefined)),
      ),
    },
    { weight: 1, arbitrary: fc.constant(step('time', () => jest.advanceTimersByTimeAsync(2_100))) },
  );

  it('delivers every message once and in order, or tells of a gap; what is replayed is exactly what was missed', async () => {
    const seen = { recovered: 0 };
    let heard = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 30, maxLength: 80 }), async (scenario) => {
        const broker = new Broker();
        const followed = follow(broker, { bufferSize: 4, ringSize: 3 });
        const run: Run = { broker, followed, pushes: [], replays: [], seen };
        await followed.feed.align();
        const start = followed.feed.last!;
        broker.prompt = false;
        for (const act of scenario) {
          await act(run);
          await turn();
        }

        broker.prompt = true;
        broker.isUp = true;
        while (broker.asked.length + broker.answers.length > 0) {
          broker.look();
          broker.answers.shift()!.deliver();
          await turn();
        }
        while (run.pushes.length > 0) arrive(run);
        await followed.feed.align();
        // Whoever waits for what has been swallowed gives up; then the rest is found.
        await jest.advanceTimersByTimeAsync(2_100);
        const compared = followed.feed.compare(broker.top);
        await jest.advanceTimersByTimeAsync(2_100);
        await Promise.all([compared, ...run.replays]);

        let last: Position | undefined = start.pos;
        for (const event of followed.events) {
          if ('gap' in event) last = undefined;
          else {
            heard++;
            if (last) expect(event.heard).toBe(positionOf(epochOf(last), offsetOf(last) + 1));
            last = event.heard;
          }
        }
        expect(followed.feed.isLive).toBe(true);
        expect(followed.feed.last).toMatchObject(broker.top);
        if (last) expect(last).toBe(broker.top.pos);
      }),
      { numRuns: 1_000 },
    );
    // The property is about something.
    expect(heard).toBeGreaterThan(1_000);
    expect(seen.recovered).toBeGreaterThan(100);
  });
});

describe('an entry', () => {
  it('looks up its id when it is asked for, once', () => {
    const payload = encode({ id: 'own' }, ['x']);
    const entry = lazyEntry(payload, 'e.1');
    expect(entry.id).toBe('own');
    payload.fill(0);
    expect(entry.id).toBe('own');
  });
});
