/*
 * Histories of rooms at RabbitMQ: one stream for all of them, bound to every room, which this instance follows from where
 * it was. A position is a place in the stream, counted from 1, so that 0 is before everything.
 *
 * Four things a stream does not do, and what is done about them. It takes the same message twice: the ids of late are kept,
 * with the place of the first copy, and later copies are passed over, by everyone alike. It says nothing when a consumer
 * attaches behind its end, or where it has been cut or made anew: whoever resumes attaches at the last message it knows
 * and compares the content. It leaves out, without a word, what was cut under a consumer that is too slow: a step in the offsets
 * shows it. And just after a start of the broker, messages are confirmed that the stream never gets:
 * all are published as mandatory, and the link is not open before one of its own has come back.
 */
import type { Channel as AmqpChannel, ConsumeMessage } from 'amqplib';
import { deadline } from '../deadline.js';
import { BroadcastError } from '../errors.js';
import type { Mark, Position } from '../position.js';
import type { AppendOptions, Channel, LinkEvents, LogPage, ReadOptions, RoomLog } from '../transport.js';
import { ulid } from '../ulid.js';
import { Deliveries } from './rabbitmq.deliveries.js';
import { idOf, offset, place, position } from './rabbitmq.entries.js';
import { StreamIds, type StreamIdsOptions } from './rabbitmq.ids.js';
import { MARK_KEY, routingKey, type BrokerNames } from './rabbitmq.names.js';
import { Places } from './rabbitmq.places.js';
import { StreamReads } from './rabbitmq.reads.js';
import { isSkip, StreamScans } from './rabbitmq.scans.js';

/** How long the first message may take that shows where the stream goes on, and the next of those of late, in ms. */
const PATIENCE = 2_000;
/** How long a link waits for the messages of late while it gets on with them, in ms. It reads the rest when it is open. */
const OF_LATE = 3_000;
/** How long an append that is stored waits for its position, in ms. Then it goes without. */
const ECHO = 1_000;
/** Pause before a message is published again that the stream could not take yet, in ms. */
const BOOT_PAUSE = 50;

/** What a link hands on to the next: where it was, and the ids of late. */
export interface LogMemory {
  last?: { offset: number; message: ConsumeMessage };
  readonly ids: StreamIds;
  /** Where the messages of all rooms are. */
  readonly places: Places;
  /** By routing key: rooms that are listened to. */
  readonly channels: Map<string, Channel>;
}

export interface LogParts extends StreamIdsOptions {
  /** Publishes as mandatory. Resolves when it is confirmed, rejects when it is returned. */
  publish: (key: string, payload: Buffer, id: string) => Promise<void>;
  /** A channel that ends the link when it fails. */
  channel: () => Promise<AmqpChannel>;
  failed: (cause: Error) => void;
  /** Aborted when what arrives is not heard any more. */
  readonly signal: AbortSignal;
  readonly prefetch: number;
}

type Consume = (offset: unknown) => Promise<string>;
type Cancel = (tag: string) => Promise<unknown>;

export class RabbitmqLog implements RoomLog {
  readonly memory: LogMemory;
  readonly #parts: LogParts;
  readonly #names: BrokerNames;
  readonly #events: LinkEvents;
  readonly #reads: StreamReads;
  /** Who waits for a message of its own to come back. */
  readonly #echoes = new Map<string, Set<(place: number) => void>>();
  /** Settles when what was said before this link is heard, as far as that can be known: what is read ends there. */
  #caughtUp?: Promise<unknown>;
  /** Resolves when nothing more is heard. */
  readonly #ended: Promise<void>;
  /** Whether what arrives is delivered: not while only ids are read. */
  #delivering = false;
  /** Hears the first message of a link that goes on where another one was. */
  #first?: (message: ConsumeMessage) => void;
  /** Hears messages in place of everyone else while the end of the stream is looked for. */
  #probed?: (message: ConsumeMessage) => void;

  constructor(parts: LogParts, names: BrokerNames, events: LinkEvents, memory?: LogMemory) {
    this.#parts = parts;
    this.#names = names;
    this.#events = events;
    this.#ended = new Promise((resolve) => parts.signal.addEventListener('abort', () => resolve()));
    this.memory = memory ?? { ids: new StreamIds(parts), places: new Places(), channels: new Map() };
    this.#reads = new StreamReads(new StreamScans(parts.channel, names.log, parts.failed), this.memory);
  }

  /** Begins to follow the stream: where the link before was, or now. */
  async start(): Promise<void> {
    const channel = await this.#parts.channel();
    await channel.prefetch(this.#parts.prefetch);
    const deliveries = new Deliveries(channel, this.#parts.failed);
    let current = '';
    const consume: Consume = async (offset) => {
      const { consumerTag } = await channel.consume(
        this.#names.log,
        (message) => {
          if (!message) return this.#parts.failed(new Error('the broker cancelled the consumer: the stream is gone'));
          if (message.fields.consumerTag === current) deliveries.take(message, () => this.#receive(message));
        },
        { consumerTag: (current = ulid()), arguments: { 'x-stream-offset': offset } },
      );
      return consumerTag;
    };
    if (this.memory.last) await this.#resume(this.memory.last, consume, (tag) => channel.cancel(tag));
    else await this.#begin(consume);
    this.#delivering = true;
  }

  async append(room: string, payload: Buffer, { id }: AppendOptions): Promise<Position | undefined> {
    const key = routingKey(`room:${room}`);
    const known = this.memory.ids.placeOf(key, id);
    if (known !== undefined) return position(known);
    const echo = this.#echo(`${key}\n${id}`);
    try {
      await this.#parts.publish(key, payload, id);
      const place = this.memory.ids.placeOf(key, id) ?? (await within(ECHO, echo.place));
      return place === undefined ? undefined : position(place);
    } finally {
      echo.stop();
    }
  }

  async read(room: string, options: ReadOptions): Promise<LogPage> {
    if (this.#caughtUp) await Promise.race([this.#caughtUp, this.#ended]);
    return this.#reads.read(routingKey(`room:${room}`), options);
  }

  /** One place for all: a message of this link's own that has come back. */
  async tops(rooms: readonly string[]): Promise<Mark[]> {
    const mark = await this.#mark();
    return rooms.map(() => mark);
  }

  subscribe(channels: readonly Channel[]): void {
    for (const channel of channels) this.memory.channels.set(keyOf(channel), channel);
  }

  unsubscribe(channels: readonly Channel[]): void {
    for (const channel of channels) this.memory.channels.delete(keyOf(channel));
  }

  /**
   * A process that has just started: it reads what was said of late, or it would take second copies for messages, and
   * follows from now. Where that is much, the link opens before it is read to the end: what comes has its order all the same.
   */
  async #begin(consume: Consume): Promise<void> {
    const from = Date.now() - this.#parts.idWindow;
    this.memory.ids.begin(from);
    await consume({ '!': 'timestamp', value: Math.floor(from / 1_000) });
    const mark = this.#mark();
    this.#readBehind(mark);
    for (const until = performance.now() + OF_LATE; performance.now() < until;) {
      const before = this.memory.last?.offset;
      if (await within(PATIENCE / 2, mark)) return;
      if (this.memory.last?.offset === before) throw new BroadcastError('TIMEOUT', 'the stream stays silent');
    }
  }

  /** Nothing is read before this has settled. */
  #readBehind(work: Promise<unknown>): void {
    const caughtUp = work
      .catch(() => undefined)
      .then(() => {
        if (this.#caughtUp === caughtUp) this.#caughtUp = undefined;
      });
    this.#caughtUp = caughtUp;
  }

  /** Goes on after the last message that the link before has heard, if that is still where it was. */
  async #resume(last: NonNullable<LogMemory['last']>, consume: Consume, cancel: Cancel): Promise<void> {
    const first = this.#nextFirst((message) => {
      this.#delivering = true;
      const there = offset(message);
      if (there === last.offset && message.content.equals(last.message.content)) return;
      const why = there === last.offset ? 'another message is there now' : `it goes on at ${place(message)} only`;
      this.#lost(why, message);
    });
    const tag = await consume(last.offset);
    if (await within(PATIENCE, first)) {
      // A broker that takes no messages now takes no mark: then what it has sent by then has to do.
      this.#readBehind(within(PATIENCE, this.#mark()));
      return;
    }
    await cancel(tag);
    // Either it is slow, or it was attached behind the end of a stream that was made anew, where it would be silent until
    // that has grown to there. What is published now tells which.
    const end = await this.#probe(consume, cancel);
    if (end === undefined || end > last.offset) throw new BroadcastError('TIMEOUT', 'the stream stays silent');
    const again = this.#nextFirst((message) => {
      this.#delivering = true;
      this.#lost('the log ends before it', message);
    });
    await consume('first');
    if (!(await within(PATIENCE, again))) throw new BroadcastError('TIMEOUT', 'the stream stays silent');
  }

  /** The offset that a message has which is published now, if it comes in time. */
  async #probe(consume: Consume, cancel: Cancel): Promise<number | undefined> {
    const id = ulid();
    const seen = new Promise<number>((resolve) => {
      this.#probed = (message) => {
        if (message.properties.messageId === id) resolve(offset(message));
      };
    });
    try {
      const tag = await consume('next');
      await this.#parts.publish(MARK_KEY, Buffer.from(id), id);
      const end = await within(PATIENCE / 2, seen);
      await cancel(tag);
      return end;
    } finally {
      this.#probed = undefined;
    }
  }

  #nextFirst(hear: (message: ConsumeMessage) => void): Promise<true> {
    return new Promise((resolve) => {
      this.#first = (message) => {
        this.#first = undefined;
        hear(message);
        resolve(true);
      };
    });
  }

  #lost(why: string, next: ConsumeMessage): void {
    this.memory.ids.clear();
    this.memory.places.clear();
    const last = this.memory.last?.offset;
    this.memory.last = undefined;
    this.#tell(last, why, next);
  }

  #tell(last: number | undefined, why: string, next: ConsumeMessage): void {
    const at = last === undefined ? 'its start' : position(last + 1);
    const from = { pos: position(place(next) - 1) };
    this.#events.gap(new Error(`the log cannot be followed from ${at}: ${why}`), from);
  }

  #receive(message: ConsumeMessage): void {
    // The next link has to hear what this one was not listened to for.
    if (this.#parts.signal.aborted) return;
    if (this.#probed) return this.#probed(message);
    this.#first?.(message);
    const there = offset(message);
    const { last } = this.memory;
    if (last && there <= last.offset) return;
    if (last && isSkip(last.offset, there)) {
      this.memory.places.clear();
      if (this.#delivering) this.#tell(last.offset, `it goes on at ${place(message)} only`, message);
    }
    this.memory.last = { offset: there, message };
    const key = message.fields.routingKey;
    const first = this.memory.ids.add(message);
    for (const tell of this.#echoes.get(`${key}\n${idOf(message)}`) ?? []) tell(first);
    if (first !== place(message)) return;
    this.memory.places.add(key, there);
    const channel = this.#delivering ? this.memory.channels.get(key) : undefined;
    if (!channel) return;
    try {
      this.#events.message(channel, message.content, position(there + 1));
    } catch {
      // Counted and told by whoever threw it; a stream takes nothing back.
    }
  }

  #echo(name: string): { place: Promise<number>; stop: () => void } {
    const waiting = this.#echoes.get(name) ?? new Set();
    this.#echoes.set(name, waiting);
    let tell!: (place: number) => void;
    const place = new Promise<number>((resolve) => waiting.add((tell = resolve)));
    const stop = () => {
      waiting.delete(tell);
      if (waiting.size === 0) this.#echoes.delete(name);
    };
    return { place, stop };
  }

  /** Publishes a message to the stream alone, and waits until it has come back. */
  async #mark(): Promise<Mark> {
    const id = ulid();
    const echo = this.#echo(`${MARK_KEY}\n${id}`);
    try {
      for (let until = performance.now() + PATIENCE; ;) {
        try {
          await this.#parts.publish(MARK_KEY, Buffer.from(id), id);
          break;
        } catch (error) {
          // A broker that has just started routes to everything but the stream for a while.
          const unroutable = error instanceof BroadcastError && error.code === 'NO_LISTENER';
          if (!unroutable || performance.now() > until) throw error;
          await new Promise((resolve) => setTimeout(resolve, BOOT_PAUSE));
        }
      }
      return { pos: position(await echo.place), id };
    } finally {
      echo.stop();
    }
  }
}

function keyOf(channel: Channel): string {
  return routingKey(`room:${channel.slice('log:'.length)}`);
}

/** What it comes to, if it does so in time. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  try {
    return await deadline(work, ms, 'it');
  } catch (error) {
    if (error instanceof BroadcastError && error.code === 'TIMEOUT') return undefined;
    throw error;
  }
}
