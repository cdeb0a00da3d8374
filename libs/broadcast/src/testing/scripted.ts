/*
 * A broker that does what a test tells it, for what no real one does on demand: an answer that never comes, or comes
 * too late. What a transport promises is tested over real brokers, in conformance.suite.ts, not here.
 */
import { BroadcastError } from '../errors.js';
import type {
  Channel,
  Features,
  Link,
  LinkEvents,
  OpenOptions,
  RecordStore,
  RoomLog,
  Transport,
} from '../transport.js';
import { ScriptedJobs } from './scripted.jobs.js';

export interface ScriptedCall {
  readonly method: 'publish' | 'append' | 'subscribe' | 'unsubscribe' | 'close';
  readonly channels: readonly Channel[];
  readonly payload?: string;
  answer(): void;
  refuse(error?: Error): void;
}

export class ScriptedLink implements Link {
  /** Everything that was asked of it, in order. */
  readonly calls: ScriptedCall[] = [];
  /** Calls of these methods wait for the test to answer them. */
  readonly silent = new Set<ScriptedCall['method']>();
  readonly jobs = new ScriptedJobs();
  closed = false;
  readonly log: RoomLog = {
    append: (room, payload) => this.#call('append', [`log:${room}`], payload.toString()).then(() => undefined),
    read: () => Promise.resolve({ entries: [], more: false }),
    tops: (rooms) => Promise.resolve(rooms.map(() => ({ pos: 'e.0' }))),
  };

  readonly records: RecordStore = { put: () => Promise.resolve(), all: () => Promise.resolve([]) };

  constructor(readonly events?: LinkEvents) {}

  publish(channel: Channel, payload: Buffer): Promise<void> {
    return this.#call('publish', [channel], payload.toString());
  }

  subscribe(channels: readonly Channel[]): Promise<void> {
    return this.#call('subscribe', channels);
  }

  unsubscribe(channels: readonly Channel[]): Promise<void> {
    return this.#call('unsubscribe', channels);
  }

  close(): Promise<void> {
    this.closed = true;
    return this.#call('close', []);
  }

  /** The calls of one method. */
  of(method: ScriptedCall['method']): ScriptedCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  /** What was published, as text. */
  get published(): (string | undefined)[] {
    return this.of('publish').map(({ payload }) => payload);
  }

  #call(method: ScriptedCall['method'], channels: readonly Channel[], payload?: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (error = new BroadcastError('UNAVAILABLE', 'refused')) => reject(error);
      this.calls.push({ method, channels, payload, answer: resolve, refuse });
      if (!this.silent.has(method)) resolve();
    });
  }
}

export class ScriptedTransport implements Transport {
  readonly name = 'scripted';
  readonly features: { -readonly [K in keyof Features]: Features[K] } = {
    network: true,
    redelivers: false,
    log: 'room',
  };
  readonly address = 'a:1';
  /** Every link that was opened, the latest last. */
  readonly links: ScriptedLink[] = [];
  /** When each attempt to open a link was made. */
  readonly attempts: number[] = [];
  /** What an attempt comes to: a link, prepared here or not, an error, or no answer at all. */
  next: ((link: ScriptedLink) => void) | Error | 'silence' = () => undefined;
  options?: OpenOptions;

  open(events: LinkEvents, options: OpenOptions): Promise<Link> {
    this.options = options;
    this.attempts.push(performance.now());
    if (this.next === 'silence') return new Promise(() => undefined);
    if (this.next instanceof Error) return Promise.reject(this.next);
    const link = new ScriptedLink(events);
    this.next(link);
    this.links.push(link);
    return Promise.resolve(link);
  }

  /** The link of now. */
  get link(): ScriptedLink {
    const link = this.links.at(-1);
    if (!link) throw new Error('no link was opened yet');
    return link;
  }
}
