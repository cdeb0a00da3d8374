/*
 * The seam between Roomcast and a broker, and the contract that every transport keeps:
 *
 *   Every instance that subscribed hears it, the sender included. One publisher's messages in one room arrive in
 *   order; in a room with history all instances see the same order. A subscription once granted survives every
 *   outage. `up` means acknowledged. What was acknowledged into a history is delivered, or the reader is told of a
 *   gap: there is no silent loss. During an outage publishing fails at once or waits a bounded time, never
 *   unboundedly.
 *
 * A driver keeps the small part of it: it opens a link, does what it is told, and says when the link is lost. It has
 * no retries, no timers and no subscriptions to remember; all of those belong to the Bus. A link that is lost is
 * thrown away: it never repairs itself.
 *
 * The histories of rooms (`link.log`), jobs (`link.jobs`) and what outlives every instance (`link.records`) are further
 * small interfaces beside the fan-out.
 */
import type { JobQueues } from './job-queues.js';
import type { Mark, Position } from './position.js';

/**
 * Where a message goes. Each transport maps it to its broker's names:
 *
 * - `room:<room>`: a room without history. Any string is a room; the transport escapes what its broker forbids. What
 *   others append to its log arrives too: they have been told of a history before this instance is.
 * - `log:<room>`: a room with history, to be heard. What is appended to its log arrives with its position, and what is
 *   published to `room:<room>` arrives too: with a position where the transport stores it all the same, else without.
 * - `all`: control messages to every instance.
 * - `instance:<id>`: control messages to one instance. Somebody has to be listening: a publish to an instance that is
 *   not there rejects with `NO_LISTENER`.
 * - `probe:<id>`: what one instance says to itself by the way that rooms' messages take.
 */
export type Channel = `room:${string}` | `log:${string}` | 'all' | `instance:${string}` | `probe:${string}`;

export interface Transport {
  /** `memory`, `redis`, `rabbitmq`, …: the word used in settings, logs and metrics. */
  readonly name: string;
  readonly features: Features;
  /** Where the broker is, for messages: host and port, never a password. @default none is shown */
  readonly address?: string;
  /**
   * Opens one link. Rejects when the broker cannot be reached or refuses; the Bus puts a deadline around it and
   * tries again. A link that finishes opening after `signal` was aborted must be closed by the driver.
   */
  open(events: LinkEvents, options: OpenOptions): Promise<Link>;
}

export interface OpenOptions {
  /** Id of this instance: names the queues and connections that an operator sees at the broker. */
  readonly instance: string;
  /** Aborted when nobody waits for the link any more. */
  readonly signal: AbortSignal;
  /** How long histories are kept, in ms: the longest of all rooms'. @default 0: no room has one */
  readonly retention?: number;
  /** For how long an id that was appended once is known, in ms. @default 0 */
  readonly idWindow?: number;
  /** The link before this one, lost by now: a driver may take over what it remembers. */
  readonly previous?: Link;
}

/** What a transport can do differently from the others. Every member is tested both ways by the conformance suite. */
export interface Features {
  /** There is a network between the instances: links can be cut, stall, and come back. `false`: one process. */
  readonly network: boolean;
  /** A message whose listener throws is delivered a second time, then dead-lettered. `false`: it is dropped. */
  readonly redelivers: boolean;
  /**
   * Whose log it is. `room`: each room has its own, whose offsets are contiguous, and a link that was lost has missed what
   * was appended meanwhile. `shared`: there is one for all rooms, whose offsets grow with gaps; every instance follows
   * it and each link resumes where the one before it was, so that nothing is missed unless `gap` is told.
   */
  readonly log: 'room' | 'shared';
}

export interface LinkEvents {
  /**
   * A message arrived. Synchronous. Throws when the message could not be handled: a transport that redelivers gives
   * it back to the broker, the others drop it (it has been counted). Those that are `UNREADABLE` or `UNTRUSTED` will be
   * so again.
   */
  message(channel: Channel, payload: Buffer, pos?: Position): void;
  /** The link is gone, or can no longer be trusted. Later calls of either kind are ignored. */
  lost(cause: Error): void;
  /** The broker asks publishers to stop (`true`), with its reason, or to go on (`false`). Receiving continues. */
  blocked(on: boolean, why?: string): void;
  /** A shared log does not go on where the link before this one was, but after `from`: any room may have missed messages. */
  gap(cause: Error, from: Mark): void;
  /** An id had to be forgotten before its time, since there are too many: a second copy of that message would be another one. */
  forgot(): void;
}

/** One live connection to a broker, used until it is lost. No method waits for longer than the broker does. */
export interface Link {
  /** Resolves when the broker has accepted the message. Calls are sent in the order in which they were made. */
  publish(channel: Channel, payload: Buffer): Promise<void>;
  /** Resolves when the broker has ACKNOWLEDGED the subscriptions: what is published from then on is heard. */
  subscribe(channels: readonly Channel[]): Promise<void>;
  unsubscribe(channels: readonly Channel[]): Promise<void>;
  readonly log: RoomLog;
  readonly jobs: JobQueues;
  readonly records: RecordStore;
  /** Lets go of everything at the broker. Bounded in time, even on a dead connection; never rejects. */
  close(): Promise<void>;
}

/**
 * Small facts that outlive every instance, where the broker stores: one of each key, the one of the highest version. For
 * thousands of them that change now and then, not for what is said.
 */
export interface RecordStore {
  /** Resolves when the broker has it, or has one of the same key that is newer. The same version again takes its place. */
  put(record: StoredRecord): Promise<void>;
  /** All that are kept, in no order. */
  all(): Promise<StoredRecord[]>;
}

export interface StoredRecord {
  /** 1 to 512 bytes. */
  readonly key: string;
  /** Compared as a text: of ASCII letters of one case, digits and dots. */
  readonly version: string;
  readonly payload: Buffer;
  /** When it may be forgotten, in ms since 1970. */
  readonly until: number;
}

/** The stored history of rooms. */
export interface RoomLog {
  /**
   * Stores the message and sends it to everyone who hears `log:<room>`, in one step. The same id again, within the
   * link's `idWindow`, is the same message with the same position. Resolves with the position when the broker has
   * stored it, or without one when it has but does not say where.
   */
  append(room: string, payload: Buffer, options: AppendOptions): Promise<Position | undefined>;
  /** Reads forwards from a position, or backwards from one or from the end. */
  read(room: string, options: ReadOptions): Promise<LogPage>;
  /**
   * The newest place of each room's log, looked up at the broker. Whatever is up to it has been heard here or is on its
   * way, and whatever is after it will be. In a shared log it is one place for all: everything up to it has been heard.
   */
  tops(rooms: readonly string[]): Promise<Mark[]>;
}

export interface AppendOptions {
  /** That of the message in the payload: whoever hears it is told of no other. */
  readonly id: string;
  /** Messages that the room keeps. */
  readonly size: number;
  /** How long they are kept after the last of them, in ms. */
  readonly ttl: number;
}

export interface ReadOptions {
  /** What comes after this position, oldest first. */
  readonly from?: Position;
  /** The last ones before this position, or before the end. */
  readonly before?: Position;
  readonly limit: number;
}

export interface LogEntry {
  readonly pos: Position;
  /** The id that it was appended by, if the broker has it apart from the message. */
  readonly id?: string;
  readonly payload: Buffer;
}

export interface LogPage {
  /** What is at `from`, in whatever room, if anything is: whoever resumes there compares the id. */
  readonly at?: Mark & { readonly payload?: Buffer };
  /** Oldest first, whichever way it was read. */
  readonly entries: readonly LogEntry[];
  /** Whether there are more, in the direction of reading: before a place of another log, nobody knows that there are none. */
  readonly more: boolean;
}
