/*
 * What this process wants to hear, kept as data: which channels, who listens, and whether the broker has acknowledged
 * it. One loop brings the broker in line with it, the first time and after every outage alike. It opens no links and
 * knows no states of the bus.
 */
import { deadline } from './deadline.js';
import { BroadcastError, toError } from './errors.js';
import type { Position } from './position.js';
import type { Channel, Link } from './transport.js';

/** Hears the messages of one channel. A throw means "could not be handled"; the other listeners still run. */
export type Listener = (payload: Buffer, channel: Channel, pos?: Position) => void;

export interface Subscription {
  readonly channel: Channel;
  /** Whether the broker has acknowledged it, on the link of now. */
  readonly live: boolean;
  /**
   * Resolves when the broker has acknowledged it. Rejects with `UNAVAILABLE` after `timeout` ms (it stays wanted, and
   * becomes live when the broker returns), or with `CLOSED` when it was closed meanwhile.
   */
  ready(timeout?: number): Promise<void>;
  /** Stops listening at once. The broker is told after the linger, so that leaving and rejoining costs nothing. */
  close(): void;
}

export interface SubscriptionsOptions {
  /** Deadline of one broker call, and of `ready()`, in ms. */
  callTimeout: number;
  /** How long a channel without listeners stays subscribed, in ms. */
  linger: number;
  /** A broker call failed or took too long: the link is not to be trusted any more. */
  failed: (cause: Error) => void;
}

/** Channels per broker call: large enough for 100,000 a second on Redis, small enough that a join never waits long. */
const BATCH = 250;

interface Waiter {
  settle(error?: Error): void;
}

interface Entry {
  readonly channel: Channel;
  /** Replaced, never changed: a listener may come or go while a message is being delivered. */
  listeners: readonly Listener[];
  live: boolean;
  readonly waiting: Set<Waiter>;
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #entries = new Map<Channel, Entry>();
  /** Work to do at the broker. An entry in neither is as the broker has it. */
  readonly #joining = new Set<Entry>();
  readonly #leaving = new Set<Entry>();
  /** Entries without listeners and when they may leave, oldest first. */
  readonly #lingering = new Map<Entry, number>();
  #lingerTimer?: NodeJS.Timeout;
  #link?: Link;
  /** The link that the loop is working for, while it works. */
  #serving?: Link;
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /** Number of channels that somebody listens to. */
  get wanted(): number {
    return this.#entries.size - this.#lingering.size - this.#leaving.size;
  }

  add(channel: Channel, listener: Listener): Subscription {
    const entry = this.#entries.get(channel) ?? this.#create(channel);
    entry.listeners = [...entry.listeners, listener];
    this.#lingering.delete(entry);
    this.#leaving.delete(entry);
    let open = true;
    return {
      channel,
      get live() {
        return open && entry.live;
      },
      ready: (timeout) => this.#ready(entry, timeout),
      close: () => {
        if (open) this.#remove(entry, listener);
        open = false;
      },
    };
  }

  /** Hands a message to everyone in this process who listens. Throws the first listener's error after all have run. */
  deliver(channel: Channel, payload: Buffer, pos?: Position): void {
    const entry = this.#entries.get(channel);
    if (!entry) return;
    let failure: Error | undefined;
    for (const listener of entry.listeners) {
      try {
        listener(payload, channel, pos);
      } catch (thrown) {
        failure ??= toError(thrown);
      }
    }
    if (failure) throw failure;
  }

  /** Asks a new link for everything that is wanted. Resolves when all of it is acknowledged. */
  attach(link: Link): Promise<void> {
    this.#link = link;
    return this.#reconcile(link);
  }

  /** The link is gone: nothing is live, everything that has listeners is wanted again. */
  detach(): void {
    this.#link = undefined;
    this.#leaving.clear();
    this.#lingering.clear();
    for (const entry of this.#entries.values()) {
      entry.live = false;
      if (entry.listeners.length > 0) this.#joining.add(entry);
      else this.#entries.delete(entry.channel);
    }
  }

  close(): void {
    this.#closed = true;
    this.#link = undefined;
    clearTimeout(this.#lingerTimer);
    const closed = new BroadcastError('CLOSED', 'the bus was closed');
    for (const entry of this.#entries.values()) {
      entry.live = false;
      entry.listeners = [];
      for (const waiter of entry.waiting) waiter.settle(closed);
    }
    this.#entries.clear();
    this.#joining.clear();
    this.#leaving.clear();
    this.#lingering.clear();
  }

  #create(channel: Channel): Entry {
    const entry: Entry = { channel, listeners: [], live: false, waiting: new Set() };
    if (this.#closed) return entry;
    this.#entries.set(channel, entry);
    this.#joining.add(entry);
    this.#wake();
    return entry;
  }

  #ready(entry: Entry, timeout = this.#options.callTimeout): Promise<void> {
    if (entry.live) return Promise.resolve();
    if (this.#closed) return Promise.reject(new BroadcastError('CLOSED', 'the bus was closed'));
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        settle(error) {
          clearTimeout(timer);
          entry.waiting.delete(waiter);
          if (error) reject(error);
          else resolve();
        },
      };
      const timer = setTimeout(() => {
        const what = `the broker did not acknowledge the subscription to ${entry.channel} within ${timeout} ms`;
        waiter.settle(new BroadcastError('UNAVAILABLE', `${what}; it is asked for again when the broker returns`));
      }, timeout);
      entry.waiting.add(waiter);
    });
  }

  #remove(entry: Entry, listener: Listener): void {
    const at = entry.listeners.indexOf(listener);
    if (at < 0) return;
    entry.listeners = entry.listeners.toSpliced(at, 1);
    if (entry.listeners.length > 0 || this.#closed) return;
    // Nobody is told that it failed: nobody wants it any more.
    const closed = new BroadcastError('CLOSED', `the subscription to ${entry.channel} was closed`);
    for (const waiter of entry.waiting) waiter.settle(closed);
    if (this.#joining.delete(entry)) {
      this.#entries.delete(entry.channel);
      return;
    }
    this.#lingering.set(entry, performance.now() + this.#options.linger);
    this.#sweepLater();
  }

  #sweepLater(): void {
    const next = this.#lingering.values().next();
    if (this.#lingerTimer || next.done) return;
    this.#lingerTimer = setTimeout(
      () => {
        this.#lingerTimer = undefined;
        const now = performance.now();
        for (const [entry, due] of this.#lingering) {
          if (due > now) break;
          this.#lingering.delete(entry);
          this.#leaving.add(entry);
        }
        this.#wake();
        this.#sweepLater();
      },
      Math.max(0, next.value - performance.now()),
    ).unref();
  }

  /** Starts the loop, once for everything that is asked for in this turn. */
  #wake(): void {
    queueMicrotask(() => {
      const link = this.#link;
      if (!link || this.#serving === link) return;
      this.#reconcile(link).catch((error: unknown) => {
        // A call on a link that is gone may still run into its deadline: that says nothing about the link of now.
        if (link === this.#link) this.#options.failed(toError(error));
      });
    });
  }

  /** Broker calls one after the other, so that joining and leaving one channel never overtake each other. */
  async #reconcile(link: Link): Promise<void> {
    this.#serving = link;
    try {
      while (link === this.#link && this.#joining.size + this.#leaving.size > 0) {
        await this.#join(link, take(this.#joining));
        if (link === this.#link) await this.#leave(link, take(this.#leaving));
      }
    } finally {
      // In the same turn as the last look at the sets: a channel added any later must find the loop ended.
      if (this.#serving === link) this.#serving = undefined;
    }
  }

  async #join(link: Link, entries: Entry[]): Promise<void> {
    if (entries.length === 0) return;
    const what = `subscribing ${entries.length} channel(s)`;
    await deadline(link.subscribe(entries.map(toChannel)), this.#options.callTimeout, what);
    if (link !== this.#link) return;
    for (const entry of entries) {
      entry.live = true;
      for (const waiter of entry.waiting) waiter.settle();
    }
  }

  async #leave(link: Link, entries: Entry[]): Promise<void> {
    if (entries.length === 0) return;
    for (const entry of entries) {
      entry.live = false;
      this.#entries.delete(entry.channel);
    }
    const what = `unsubscribing ${entries.length} channel(s)`;
    await deadline(link.unsubscribe(entries.map(toChannel)), this.#options.callTimeout, what);
  }
}

function take(entries: Set<Entry>): Entry[] {
  const batch: Entry[] = [];
  for (const entry of entries) {
    if (batch.length === BATCH) break;
    entries.delete(entry);
    batch.push(entry);
  }
  return batch;
}

function toChannel(entry: Entry): Channel {
  return entry.channel;
}
