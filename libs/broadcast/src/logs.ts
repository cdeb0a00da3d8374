/*
 * The histories of rooms as this instance holds them: which rooms have one, a feed for each that somebody here listens to,
 * catching up after an outage, and a look at the positions now and then that finds what no error has told.
 */
import { deadline } from './deadline.js';
import { BroadcastError, toError } from './errors.js';
import { Feed, lazyEntry, type FeedListener, type Missed, type StoredEntry, type StoredPage } from './feed.js';
import { epochOf, idOf, offsetOf, type Mark, type Position } from './position.js';
import { Profiles, type HistoryOptions, type ProfilesOptions } from './profiles.js';
import type { Subscription } from './subscriptions.js';
import type { AppendOptions, Channel, Features, LogEntry, LogPage, ReadOptions, RoomLog } from './transport.js';

export interface LogsOptions extends ProfilesOptions {
  /** How long a message without an answer is sent again under its id before its fate is uncertain, in ms. @default 10_000 */
  appendTimeout?: number;
  /** How long reading a log may take, in ms: on RabbitMQ that of all rooms is looked through. @default 20_000 */
  readTimeout?: number;
  /** For how long an id that was appended is the same message, in ms. @default 300_000 */
  idWindow?: number;
  /** Bytes of a room's last messages that are kept at hand. @default 262_144 (256 KiB) */
  ringBytes?: number;
  /** The same of all rooms together. @default 67_108_864 (64 MiB) */
  ringsBytes?: number;
  /** Messages of a room that wait while missed ones are read; beyond it they are read too. @default 1_000 */
  bufferSize?: number;
  /** Messages that somebody who comes back may have missed. @default 1_000 */
  replayLimit?: number;
  /** Time between two looks at the positions of all rooms, in ms. @default 25_000 */
  watchInterval?: number;
}

/** The part of the bus that this needs. */
export interface LogsBus {
  readonly features: Features;
  readonly callTimeout: number;
  readonly linger: number;
  readonly counts: { caughtUp: number; gaps: number; trimmed: number; ringFull: number; bufferFull: number };
  /** The broker takes no messages for now. */
  blocked(): boolean;
  /** That of the link of now. @throws BroadcastError `UNAVAILABLE` */
  log(): RoomLog;
  subscribe(channel: Channel, listener: (payload: Buffer, channel: Channel, pos?: Position) => void): Subscription;
  append(room: string, payload: Buffer, options: AppendOptions): Promise<Position | undefined>;
  /** Without its signature. @throws BroadcastError `UNTRUSTED` */
  open(channel: Channel, payload: Buffer): Buffer;
  failed(cause: Error): void;
  /** Something went wrong with a message, and nobody waits for it. */
  misread(channel: Channel, thrown: unknown): void;
  gap(cause: Error, room: string): void;
}

/** What a room's log has, oldest first. */
export interface History {
  readonly entries: readonly StoredEntry[];
  /** Whether nothing is left out: neither beyond the limit, nor behind the position that was given. */
  readonly complete: boolean;
}

/** Pause before a log that could not be read is read again, in ms. */
const RETRY = 500;
/** Longest id, in bytes: brokers keep it apart from the message, where AMQP has place for as much. */
const MAX_ID = 255;
/** Rooms whose positions are compared at a time. */
const BATCH = 1_000;
const EMPTY = Buffer.alloc(0);

interface Followed {
  readonly room: string;
  readonly feed: Feed;
  readonly subscription: Subscription;
  listeners: readonly FeedListener[];
  /** The place of what was said last from here: whoever has said it may read it, though it is yet to be heard. */
  appended?: Position;
  ringBytes: number;
  lingering?: NodeJS.Timeout;
}

export class Logs {
  readonly #bus: LogsBus;
  /** The settings of rooms, by their names. */
  readonly profiles: Profiles;
  readonly #options: Required<Omit<LogsOptions, keyof ProfilesOptions | 'appendTimeout'>>;
  readonly #followed = new Map<string, Followed>();
  #topsOf?: { rooms: string[]; answer: Promise<Mark[]> };
  #ringsBytes = 0;
  #watch?: NodeJS.Timeout;
  #isUp = false;

  /** @throws BroadcastError `BAD_REQUEST` */
  constructor(bus: LogsBus, { history, profiles, ...options }: LogsOptions) {
    this.#bus = bus;
    this.profiles = new Profiles({ history, profiles });
    this.#options = {
      readTimeout: options.readTimeout ?? 20_000,
      idWindow: options.idWindow ?? 300_000,
      ringBytes: options.ringBytes ?? 256 * 1024,
      ringsBytes: options.ringsBytes ?? 64 * 1024 * 1024,
      bufferSize: options.bufferSize ?? 1_000,
      replayLimit: options.replayLimit ?? 1_000,
      watchInterval: options.watchInterval ?? 25_000,
    };
  }

  /** What is kept of a room; nothing of a live one. */
  historyOf(room: string): HistoryOptions | undefined {
    return this.profiles.historyOf(room);
  }

  /** How long anything is kept, in ms. 0: every room is live. */
  get retention(): number {
    return this.profiles.retention;
  }

  /** For how long an id is known, in ms. */
  get idWindow(): number {
    return this.#options.idWindow;
  }

  /** Bytes of messages at hand. */
  get ringsBytes(): number {
    return this.#ringsBytes;
  }

  /** Rooms whose logs are followed. */
  get size(): number {
    return this.#followed.size;
  }

  /**
   * Says something in a room with history: stored, then heard by everyone. The same id again is the same message.
   *
   * @throws BroadcastError through the promise, `BAD_REQUEST` for a live room too
   */
  async append(room: string, payload: Buffer, id: string): Promise<Position | undefined> {
    const options = { id, ...this.#mustKeep(room) };
    if (Buffer.byteLength(id) > MAX_ID) {
      throw new BroadcastError('BAD_REQUEST', `the id is too long: a history knows ids of up to ${MAX_ID} bytes`);
    }
    const pos = await this.#bus.append(room, payload, options);
    const followed = this.#followed.get(room);
    if (followed && pos !== undefined) followed.appended = pos;
    return pos;
  }

  /** Listens to a room's log from now on. `ready()` resolves when its place in the log is known. */
  follow(room: string, listener: FeedListener): Subscription {
    const followed = this.#followed.get(room) ?? this.#begin(room);
    const { feed, subscription } = followed;
    followed.listeners = [...followed.listeners, listener];
    clearTimeout(followed.lingering);
    let open = true;
    return {
      channel: subscription.channel,
      get live() {
        return open && subscription.live && feed.isLive;
      },
      ready: async (timeout = this.#bus.callTimeout) => {
        await subscription.ready(timeout);
        if (feed.isLive) return;
        await deadline(feed.align(), timeout, `reading the log of room ${room}`).catch((error: unknown) => {
          throw asUnavailable(error);
        });
      },
      close: () => {
        if (open) this.#unfollow(room, followed, listener);
        open = false;
      },
    };
  }

  /** The place that a followed room is at. */
  markOf(room: string): Mark | undefined {
    const last = this.#followed.get(room)?.feed.last;
    return last && { pos: last.pos, id: last.id };
  }

  /**
   * Finds what was said in a followed room since a mark, and calls `then` in the turn in which that is complete.
   *
   * @throws BroadcastError through the promise: the log cannot be read now
   */
  async replay<T>(room: string, since: Mark, then: (missed: Missed) => T): Promise<T> {
    const followed = this.#followed.get(room);
    if (!followed) throw new BroadcastError('BAD_REQUEST', `room ${room} is not followed`);
    return followed.feed.replay(since, this.#options.replayLimit, ({ recovered, entries }) =>
      then({ recovered, entries: visible(entries) }),
    );
  }

  /**
   * Reads a room's log: forwards from a position, backwards from one, or its end.
   *
   * @throws BroadcastError through the promise
   */
  async read(room: string, { from, before, limit }: ReadOptions): Promise<History> {
    this.#mustKeep(room);
    const isCurrent = before !== undefined || (await this.#isCurrent(room));
    const followed = this.#followed.get(room);
    const isEnd = from === undefined && before === undefined;
    const atHand = isEnd && followed && hasHeard(followed) ? followed.feed.latest(limit + 1) : undefined;
    if (atHand) return { entries: visible(atHand.slice(1)), complete: false };
    const { at, entries, more } = await this.#read(room, { from, before, limit });
    return { entries: visible(entries), complete: isCurrent && !more && (from === undefined || at !== undefined) };
  }

  // What the bus tells

  /** The link is up, and every subscription is acknowledged. */
  up(): void {
    this.#isUp = true;
    // The others have just been asked for, and are aligned when they are acknowledged.
    for (const followed of this.#followed.values()) if (followed.subscription.live) this.#align(followed);
    if (this.retention > 0)
      this.#watch ??= setInterval(() => void this.#compare(), this.#options.watchInterval).unref();
  }

  /** The link is gone. */
  down(): void {
    this.#isUp = false;
    clearInterval(this.#watch);
    this.#watch = undefined;
    for (const { feed } of this.#followed.values()) feed.interrupt();
  }

  /** A shared log does not go on where it was. */
  lost(cause: Error, from: Mark): void {
    for (const { feed } of this.#followed.values()) feed.lose(cause, from);
  }

  close(): void {
    this.down();
    for (const { lingering } of this.#followed.values()) clearTimeout(lingering);
    this.#followed.clear();
  }

  #begin(room: string): Followed {
    const { size, ttl } = this.#mustKeep(room);
    const { ringBytes, bufferSize } = this.#options;
    const channel: Channel = `log:${room}`;
    const feed = new Feed({
      room,
      contiguous: this.#bus.features.log === 'room',
      ringSize: size,
      ttl,
      ringBytes,
      bufferSize,
      read: (options) => this.#read(room, options),
      top: () => this.#top(room),
      deliver: (payload, pos) => this.#deliver(followed, payload, pos),
      gap: (cause) => {
        this.#bus.counts.gaps++;
        this.#bus.gap(cause, room);
      },
      full: (what) => this.#bus.counts[`${what}Full`]++,
      stuck: () =>
        void setTimeout(() => {
          if (this.#isUp && this.#followed.get(room) === followed) this.#align(followed);
        }, RETRY).unref(),
    });
    const subscription = this.#bus.subscribe(channel, (payload, _channel, pos) => feed.receive(payload, pos));
    const followed: Followed = { room, feed, subscription, listeners: [], ringBytes: 0 };
    this.#followed.set(room, followed);
    this.#alignWhenLive(followed);
    return followed;
  }

  /** Many rooms that are asked for at once are acknowledged one after the other: it may take longer than one call. */
  #alignWhenLive(followed: Followed): void {
    followed.subscription.ready().then(
      () => this.#align(followed),
      (error: unknown) => {
        if (!(error instanceof BroadcastError && error.code === 'CLOSED')) this.#alignWhenLive(followed);
      },
    );
  }

  #unfollow(room: string, followed: Followed, listener: FeedListener): void {
    const at = followed.listeners.indexOf(listener);
    if (at < 0) return;
    followed.listeners = followed.listeners.toSpliced(at, 1);
    if (followed.listeners.length > 0) return;
    followed.lingering = setTimeout(() => {
      if (followed.listeners.length > 0 || this.#followed.get(room) !== followed) return;
      this.#followed.delete(room);
      this.#ringsBytes -= followed.ringBytes;
      followed.subscription.close();
    }, this.#bus.linger).unref();
  }

  #align({ feed }: Followed): void {
    if (!feed.isLive) feed.align().catch(() => undefined); // told as `stuck`
  }

  #deliver(followed: Followed, payload: Buffer, pos: Position | undefined): void {
    const { channel } = followed.subscription;
    if (payload.length > 0) {
      for (const listener of followed.listeners) {
        try {
          listener(payload, pos);
        } catch (thrown) {
          this.#bus.misread(channel, thrown);
        }
      }
    }
    if (this.#followed.get(followed.room) !== followed) return;
    const { ringBytes } = followed.feed;
    this.#ringsBytes += ringBytes - followed.ringBytes;
    followed.ringBytes = ringBytes;
    if (this.#ringsBytes > this.#options.ringsBytes) this.#trim();
  }

  /** Rooms that were followed first let go of what they have at hand. */
  #trim(): void {
    for (const followed of this.#followed.values()) {
      if (this.#ringsBytes <= this.#options.ringsBytes * 0.8) return;
      if (followed.ringBytes === 0) continue;
      this.#ringsBytes -= followed.ringBytes;
      followed.ringBytes = 0;
      followed.feed.trim();
      this.#bus.counts.trimmed++;
    }
  }

  /** Compares every room's place with the broker's. */
  async #compare(): Promise<void> {
    // A shared log's end is found by a message, which such a broker does not take: it is not silent, and keeps its consumers.
    if (this.#bus.blocked()) return;
    const rooms = [...this.#followed.keys()];
    try {
      if (this.#bus.features.log === 'shared') {
        await this.#call(this.#bus.log().tops([]), 'looking for the end of the log');
        return;
      }
      for (let i = 0; i < rooms.length; i += BATCH) {
        const batch = rooms.slice(i, i + BATCH);
        const tops = await this.#call(this.#bus.log().tops(batch), 'comparing positions');
        batch.forEach((room, index) => {
          this.#followed
            .get(room)
            ?.feed.compare(tops[index]!)
            .catch(() => undefined);
        });
      }
    } catch (error) {
      // A call on a link that is gone says nothing about the one of now.
      if (this.#isUp && !this.#bus.blocked() && error instanceof BroadcastError && error.code === 'TIMEOUT')
        this.#bus.failed(error);
    }
  }

  async #read(room: string, options: ReadOptions): Promise<StoredPage> {
    const reading = this.#bus.log().read(room, options);
    const page = await deadline(reading, this.#options.readTimeout, `reading the log of room ${room}`);
    const entries = page.entries.map((entry) => this.#opened(room, entry));
    if (options.from !== undefined) this.#bus.counts.caughtUp += entries.length;
    return { ...page, entries, at: page.at && this.#marked(room, page.at) };
  }

  /** One that is not to be trusted keeps its place, and is not shown. */
  #opened(room: string, { pos, id, payload }: LogEntry): StoredEntry {
    try {
      return lazyEntry(this.#bus.open(`room:${room}`, payload), pos, id);
    } catch (thrown) {
      this.#bus.misread(`room:${room}`, thrown);
      return { pos, id: id ?? '', payload: EMPTY };
    }
  }

  /** What is at a place may be none of the room's messages: it is not told as one that cannot be trusted. */
  #marked(room: string, { pos, id, payload }: NonNullable<LogPage['at']>): Mark {
    if (!payload) return { pos, id };
    try {
      return { pos, id: idOf(this.#bus.open(`room:${room}`, payload), pos, id) };
    } catch {
      return { pos, id: id ?? '' };
    }
  }

  /**
   * A shared log is not asked, but heard: what another instance has been told is stored may still be on its way to here. Whether
   * it has come. While the broker takes nothing there is nothing to come.
   */
  async #isCurrent(room: string): Promise<boolean> {
    if (this.#bus.features.log !== 'shared' || this.#bus.blocked()) return true;
    return this.#top(room).then(
      () => true,
      () => false,
    );
  }

  /** All that are asked for in one turn are one question. */
  async #top(room: string): Promise<Mark> {
    const asked = (this.#topsOf ??= this.#ask());
    const index = asked.rooms.push(room) - 1;
    return (await asked.answer)[index]!;
  }

  #ask(): { rooms: string[]; answer: Promise<Mark[]> } {
    const rooms: string[] = [];
    const answer = Promise.resolve().then(() => {
      this.#topsOf = undefined;
      return this.#call(this.#bus.log().tops(rooms), `finding the end of ${rooms.length} log(s)`);
    });
    return { rooms, answer };
  }

  #call<T>(work: Promise<T>, what: string): Promise<T> {
    return deadline(work, this.#bus.callTimeout, what);
  }

  #mustKeep(room: string): HistoryOptions {
    const history = this.historyOf(room);
    if (history) return history;
    throw new BroadcastError('BAD_REQUEST', `room ${room} has no history: its profile keeps none`);
  }
}

/** Whether all that was said from here has come back. */
function hasHeard({ feed: { last }, appended }: Followed): boolean {
  if (appended === undefined) return true;
  return last !== undefined && epochOf(last.pos) === epochOf(appended) && offsetOf(last.pos) >= offsetOf(appended);
}

function visible(entries: readonly StoredEntry[]): readonly StoredEntry[] {
  return entries.filter(({ payload }) => payload.length > 0);
}

function asUnavailable(error: unknown): BroadcastError {
  if (error instanceof BroadcastError && error.code === 'CLOSED') return error;
  const cause = toError(error);
  return new BroadcastError('UNAVAILABLE', cause.message, { cause });
}
