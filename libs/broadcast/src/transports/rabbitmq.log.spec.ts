import type { Channel as AmqpChannel, ConsumeMessage } from 'amqplib';
import fc from 'fast-check';
import type { LogPage } from '../transport.js';
import { RabbitmqLog, type LogMemory } from './rabbitmq.log.js';
import { StreamIds } from './rabbitmq.ids.js';
import { brokerNames, MARK_KEY } from './rabbitmq.names.js';
import { FARTHEST } from './rabbitmq.scans.js';
import { Places } from './rabbitmq.places.js';

type Hear = (message: ConsumeMessage) => void;

/** A stream of which each case says what a consumer hears, by where it attaches. */
class Stream {
  readonly gaps: string[] = [];
  readonly heard: string[] = [];
  readonly attached: unknown[] = [];
  readonly memory: LogMemory;
  readonly listening = new AbortController();
  /** Tags that hear what is published. */
  readonly #live = new Map<string, Hear>();
  end: number;
  forgotten = 0;
  readonly published: string[] = [];

  /** @param last where the link before was; a process that has just started had none */
  constructor(last: number | undefined, end: number) {
    this.end = end;
    this.memory = {
      ...(last !== undefined && { last: { offset: last, message: message(last, `old-${last}`) } }),
      ids: new StreamIds({ idWindow: 60_000, maxIds: 1_000, forgot: () => this.forgotten++ }),
      places: new Places(),
      channels: new Map([['room.r', 'log:r']]),
    };
  }

  /** @param hears what a consumer hears at once, or that it hears nothing at all */
  log(hears: (offset: unknown, hear: Hear) => boolean): RabbitmqLog {
    const channel = {
      prefetch: () => Promise.resolve(),
      on: () => undefined,
      close: () => Promise.resolve(),
      ack: () => undefined,
      cancel: (tag: string) => Promise.resolve(this.#live.delete(tag)),
      consume: (
        _queue: string,
        hear: Hear,
        { consumerTag, arguments: args }: { consumerTag: string; arguments: Record<string, unknown> },
      ) => {
        const offset = args['x-stream-offset'];
        this.attached.push(offset);
        const tagged = (each: ConsumeMessage) => hear({ ...each, fields: { ...each.fields, consumerTag } });
        if (hears(offset, tagged)) this.#live.set(consumerTag, tagged);
        return Promise.resolve({ consumerTag });
      },
    };
    return new RabbitmqLog(
      {
        publish: (key, _payload, id) => {
          const published = message(++this.end, id, key);
          this.published.push(id);
          for (const hear of this.#live.values()) hear(published);
          return Promise.resolve();
        },
        channel: () => Promise.resolve(channel as unknown as AmqpChannel),
        failed: () => undefined,
        signal: this.listening.signal,
        prefetch: 500,
        idWindow: 60_000,
        maxIds: 1_000,
        forgot: () => undefined,
      },
      brokerNames('', 'i', 'n'),
      {
        message: (_channel, payload) => this.heard.push(payload.toString()),
        lost: () => undefined,
        blocked: () => undefined,
        gap: ({ message }) => this.gaps.push(message),
        forgot: () => undefined,
      },
      this.memory,
    );
  }
}

function message(offset: number, id: string, key = 'room.r', sent = Date.now()): ConsumeMessage {
  return {
    content: Buffer.from(id),
    fields: { routingKey: key, deliveryTag: offset },
    properties: { messageId: id, headers: { 'x-stream-offset': offset, sent } },
  } as unknown as ConsumeMessage;
}

describe('a link that resumes in the stream', () => {
  it('goes on after what was heard', async () => {
    const stream = new Stream(10, 12);
    await stream
      .log((offset, hear) => {
        if (offset === 10) for (const at of [10, 11, 12]) hear(message(at, `old-${at}`));
        return true;
      })
      .start();
    expect(stream).toMatchObject({ heard: ['old-11', 'old-12'], gaps: [] });
  });

  it('is given up, without a gap, where the stream is there and only slow', async () => {
    const stream = new Stream(10, 12);
    const log = stream.log((offset) => offset === 'next');
    await expect(log.start()).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(stream).toMatchObject({ heard: [], gaps: [], attached: [10, 'next'] });
    expect(stream.memory.last!.offset).toBe(10);
  });

  it('tells of a gap and begins at the start where the stream ends before it', async () => {
    const stream = new Stream(10, 2);
    await stream
      .log((offset, hear) => {
        if (offset === 'first') for (const at of [0, 1, 2]) hear(message(at, `new-${at}`));
        return offset !== 10;
      })
      .start();
    expect(stream).toMatchObject({
      heard: ['new-0', 'new-1', 'new-2'],
      gaps: [expect.stringContaining('ends before')],
    });
  });

  it.each([
    ['another message is there', 10, 'another message is there now'],
    ['it has been cut', 15, 'it goes on at 16 only'],
  ])('tells of a gap where %s', async (_, at, why) => {
    const stream = new Stream(10, at);
    await stream.log((_offset, hear) => (hear(message(at, 'other')), true)).start();
    expect(stream).toMatchObject({ heard: ['other'], gaps: [expect.stringContaining(why)] });
  });

  it('tells of a gap where messages are cut away under it while it follows, and of none where a segment begins', async () => {
    const stream = new Stream(10, 10);
    let hear!: Hear;
    await stream
      .log((offset, each) => {
        if (offset === 10) (hear = each)(message(10, 'old-10'));
        return true;
      })
      .start();
    // Its own mark is at 11.
    for (const at of [12, 14, 15]) hear(message(at, `m-${at}`));
    expect(stream).toMatchObject({ heard: ['m-12', 'm-14', 'm-15'], gaps: [] });
    for (const at of [21, 22]) hear(message(at, `m-${at}`));
    expect(stream.heard.slice(3)).toEqual(['m-21', 'm-22']);
    expect(stream.gaps).toEqual([expect.stringContaining('it goes on at 22 only')]);
  });

  it('leaves to the next link what it is not listened to for any more', async () => {
    const stream = new Stream(10, 11);
    let hear!: Hear;
    await stream
      .log((offset, each) => {
        if (offset === 10) (hear = each)(message(10, 'old-10'));
        return true;
      })
      .start();
    stream.listening.abort();
    hear(message(13, 'late'));
    expect(stream.heard).toEqual([]);
    expect(stream.memory.last!.offset).toBe(12);
  });

  it('passes over a copy of what was heard before', async () => {
    const stream = new Stream(10, 12);
    stream.memory.ids.add(message(9, 'old-9'));
    await stream
      .log((offset, hear) => {
        for (const each of [message(10, 'old-10'), message(11, 'old-9'), message(12, 'new')]) hear(each);
        return offset === 10;
      })
      .start();
    expect(stream.heard).toEqual(['new']);
  });
});

describe('the first link of a process', () => {
  it('knows the ids of late, and passes over their copies', async () => {
    const stream = new Stream(undefined, 12);
    await stream
      .log((_offset, hear) => {
        for (const at of [11, 12]) hear(message(at, `old-${at}`));
        return true;
      })
      .start();
    expect([11, 12].map((at) => stream.memory.ids.placeOf('room.r', `old-${at}`))).toEqual([12, 13]);
    expect(stream).toMatchObject({ heard: [], gaps: [] });
  });

  it('is given up where nothing comes: it would take copies for messages', async () => {
    const stream = new Stream(undefined, 12);
    const log = stream.log((offset) => offset === 'next');
    await expect(log.start()).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(stream.attached).not.toContain('next');
  });

  it('opens while it gets on with them, and reads no history before it has come to their end', async () => {
    const stream = new Stream(undefined, 0);
    let hear!: Hear;
    let at = 0;
    const log = stream.log((offset, each) => {
      if (typeof offset === 'number') for (let old = offset; old <= stream.end; old++) each(message(old, `m-${old}`));
      // The consumer of its own hears what is published when all before it has come.
      else hear = each;
      return typeof offset === 'number';
    });
    const slow = setInterval(() => hear(message(at, `m-${at++}`)), 20);
    await log.start();
    const reading = log.read('r', { limit: 1 });
    await expect(
      Promise.race([reading, new Promise((resolve) => setTimeout(resolve, 200, 'nothing yet'))]),
    ).resolves.toBe('nothing yet');
    clearInterval(slow);
    stream.end = at;
    hear(message(at, stream.published.at(-1)!, MARK_KEY));
    await expect(reading).resolves.toMatchObject({ entries: [{ id: `m-${at - 1}` }] });
  });

  it('tells the age of an id by when it was sent, not by when it is read', async () => {
    const stream = new Stream(undefined, 12);
    stream.memory.channels.set('room.r', 'log:r');
    let hear!: Hear;
    await stream
      .log((_offset, each) => {
        hear = each;
        each(message(10, 'daily', 'room.r', Date.now() - 59_000));
        return true;
      })
      .start();
    hear(message(14, 'daily', 'room.r', Date.now() - 500));
    expect(stream.heard).toEqual([]);
    const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 2_000);
    try {
      hear(message(15, 'daily', 'room.r', Date.now()));
    } finally {
      now.mockRestore();
    }
    expect(stream.heard).toEqual(['daily']);
  });

  it('knows a bounded number of ids, and says when one has to go before its time', async () => {
    const stream = new Stream(undefined, 0);
    let hear!: Hear;
    await stream.log((_offset, each) => ((hear = each), true)).start();
    for (let at = 10; at < 1_100; at++) hear(message(at, `m-${at}`));
    expect(stream.memory.ids.size).toBe(1_000);
    expect(stream.forgotten).toBe(91);
  });
});

describe('a read', () => {
  const ROOMS = ['a', 'b', 'c'];

  /** A log that has followed a stream of these rooms' messages, from the offset on with which the stream begins now or later. */
  async function followed(rooms: readonly string[], { cut = 0, from = 0, readable = Infinity } = {}) {
    const kept = rooms.map((room, at) => message(at, `m-${at}`, `room.${room}`)).slice(cut);
    const read: number[] = [];
    let heldAt: number | undefined;
    let release: () => void = () => undefined;
    const stream = new Stream(undefined, rooms.length - 1);
    const log = stream.log((start, hear) => {
      const isRead = typeof start === 'number';
      if (isRead && start === heldAt) {
        heldAt = undefined;
        release = () => kept.filter((each) => each.fields.deliveryTag >= start).forEach(hear);
        return true;
      }
      for (const each of kept) {
        const at = each.fields.deliveryTag;
        if (at < (isRead ? start : Math.max(from, cut)) || (isRead && at > readable)) continue;
        if (isRead) read.push(at);
        hear(each);
      }
      return true;
    });
    await log.start();
    // The mark that it has published.
    kept.push(message(stream.end, 'mark', MARK_KEY));
    const hold = (start: number) => {
      heldAt = start;
      return () => release();
    };
    return { log, read, hold };
  }

  it('finds the same, however much of the stream has been followed', async () => {
    const cases = fc.record({
      rooms: fc.array(fc.constantFrom(...ROOMS), { minLength: 1, maxLength: 40 }),
      cut: fc.nat(10),
      from: fc.nat(40),
      limit: fc.integer({ min: 1, max: 10 }),
      place: fc.nat(40),
    });
    const check = async ({ rooms, cut, from, limit, ...rest }: Parameters<Parameters<typeof cases.map>[0]>[0]) => {
      const place = rest.place % rooms.length;
      const { log } = await followed(rooms, { cut, from });
      for (const room of ROOMS) {
        const places = rooms.flatMap((each, at) => (each === room && at >= cut ? [at + 1] : []));
        const positions = (page: LogPage) => page.entries.map(({ pos }) => Number(pos.slice('s.'.length)));
        const before = places.filter((each) => each < place + 1);
        const back = await log.read(room, { before: `s.${place + 1}`, limit });
        expect(positions(back)).toEqual(before.slice(-limit));
        if (before.length > limit) expect(back.more).toBe(true);
        const on = await log.read(room, { from: `s.${place + 1}`, limit });
        const isKept = place >= cut;
        expect(on.at?.id).toBe(isKept ? `m-${place}` : undefined);
        if (!isKept) continue;
        const behind = places.filter((each) => each > place + 1);
        expect(positions(on)).toEqual(behind.slice(0, limit));
        expect(on.more).toBe(behind.length > limit);
      }
    };
    await fc.assert(fc.asyncProperty(cases, check), { numRuns: 300 });
  });

  it('looks back for as much as is asked for, where little has been followed', async () => {
    const rare = Array.from({ length: 12_000 }, (_, at) => (at % 300 === 0 ? 'b' : 'a'));
    const { log, read } = await followed(rare, { from: 11_990 });
    const all = rare.flatMap((room, at) => (room === 'b' ? [`s.${at + 1}`] : []));
    for (const limit of [1, 7, 20, 39, 40, 100]) {
      const { entries, more } = await log.read('b', { limit });
      expect(entries.map(({ pos }) => pos)).toEqual(all.slice(-limit));
      expect(more).toBe(limit < all.length);
    }
    read.length = 0;
    await log.read('b', { limit: 10 });
    expect(Math.min(...read)).toBeGreaterThan(6_000);
  });

  it('comes to what is far ahead a part at a time, where the places are known', async () => {
    const rooms = ['b', ...Array<string>(5).fill('b'), ...Array<string>(FARTHEST).fill('a'), 'b', 'b'];
    const { log } = await followed(rooms);
    const on = await log.read('b', { from: 's.1', limit: 10 });
    expect([on.entries.map(({ pos }) => pos), on.more]).toEqual([['s.2', 's.3', 's.4', 's.5', 's.6'], true]);
    const rest = await log.read('b', { from: on.entries.at(-1)!.pos, limit: 10 });
    expect(rest).toMatchObject({ at: { id: 'm-5' }, more: false });
    expect(rest.entries.map(({ pos }) => pos)).toEqual([`s.${FARTHEST + 7}`, `s.${FARTHEST + 8}`]);
  });

  it('does not wait for one of a part that is far away', async () => {
    const rooms = ['b', ...Array<string>(5_000).fill('a'), 'c'];
    const { log, hold } = await followed(rooms);
    const held = hold(0);
    const far = log.read('b', { limit: 1 });
    await expect(log.read('c', { limit: 1 })).resolves.toMatchObject({ entries: [{ id: 'm-5001' }] });
    held();
    await expect(far).resolves.toMatchObject({ entries: [{ id: 'm-0' }] });
  });

  it('goes through the part of the stream in which the room has messages, where that is known', async () => {
    const quiet = [...Array<string>(50).fill('a'), 'b', 'a', 'b', ...Array<string>(5_000).fill('a')];
    const { log, read } = await followed(quiet, { readable: 52 });
    await expect(log.read('b', { limit: 2 })).resolves.toMatchObject({ entries: [{ pos: 's.51' }, { pos: 's.53' }] });
    await expect(log.read('b', { from: 's.51', limit: 2 })).resolves.toMatchObject({ entries: [{ pos: 's.53' }] });
    expect(read[0]).toBe(50);
  });
});
