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
 * Jobs are a further small interface beside the fan-out below (`link.jobs`); room histories will be another (`link.log`).
 */
import type { JobQueues } from './job-queues.js';

/**
 * Where a message goes. Each transport maps it to its broker's names:
 *
 * - `room:<room>`: a room without history. Any string is a room; the transport escapes what its broker forbids.
 * - `all`: control messages to every instance.
 * - `instance:<id>`: control messages to one instance. Somebody has to be listening: a publish to an instance that is
 *   not there rejects with `NO_LISTENER`.
 */
export type Channel = `room:${string}` | 'all' | `instance:${string}`;

export interface Transport {
  /** `memory`, `redis`, `rabbitmq`, …: the word used in settings, logs and metrics. */
  readonly name: string;
  readonly features: Features;
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
}

/** What a transport can do differently from the others. Every member is tested both ways by the conformance suite. */
export interface Features {
  /** There is a network between the instances: links can be cut, stall, and come back. `false`: one process. */
  readonly network: boolean;
  /** A message whose listener throws is delivered a second time, then dead-lettered. `false`: it is dropped. */
  readonly redelivers: boolean;
}

export interface LinkEvents {
  /**
   * A message arrived. Synchronous. Throws when the message could not be handled: a transport that redelivers gives
   * it back to the broker, the others drop it (it has been counted). Those that are `UNREADABLE` or `UNTRUSTED` will be
   * so again.
   */
  message(channel: Channel, payload: Buffer): void;
  /** The link is gone, or can no longer be trusted. Later calls of either kind are ignored. */
  lost(cause: Error): void;
  /** The broker asks publishers to stop (`true`) or to go on (`false`). Receiving continues. */
  blocked(on: boolean): void;
}

/** One live connection to a broker, used until it is lost. No method waits for longer than the broker does. */
export interface Link {
  /** Resolves when the broker has accepted the message. Calls are sent in the order in which they were made. */
  publish(channel: Channel, payload: Buffer): Promise<void>;
  /** Resolves when the broker has ACKNOWLEDGED the subscriptions: what is published from then on is heard. */
  subscribe(channels: readonly Channel[]): Promise<void>;
  unsubscribe(channels: readonly Channel[]): Promise<void>;
  readonly jobs: JobQueues;
  /** Lets go of everything at the broker. Bounded in time, even on a dead connection; never rejects. */
  close(): Promise<void>;
}
