/*
 * What instances say to each other, beside the rooms: messages of kinds. It rides on two channels of the bus (`all` and
 * this instance's own) and reads each message once, whoever listens.
 */
import { decode, encode, NEWER, stamp, type Header, type Message } from './envelope.js';
import type { Subscription } from './subscriptions.js';
import type { Channel } from './transport.js';

/** Hears the messages of one kind. Throws when a message cannot be handled. */
export type ControlListener = (message: Message) => void;

/** The part of the bus that this needs. */
export interface ControlBus {
  readonly instance: string;
  publish(channel: Channel, payload: Buffer): Promise<void>;
  subscribe(channel: Channel, listener: (payload: Buffer) => void): Subscription;
  readonly counts: { ignored: number };
}

export class Control {
  readonly #bus: ControlBus;
  readonly #listeners = new Map<string, readonly ControlListener[]>();
  readonly #known = new Set<string>();

  constructor(bus: ControlBus) {
    this.#bus = bus;
    const receive = (payload: Buffer) => this.#receive(payload);
    bus.subscribe('all', receive);
    bus.subscribe(`instance:${bus.instance}`, receive);
  }

  /** Listens to one kind of message. Returns the way to stop. */
  on(kind: string, listener: ControlListener): () => void {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
    return () => {
      const left = this.#listeners.get(kind)?.filter((other) => other !== listener) ?? [];
      if (left.length > 0) this.#listeners.set(kind, left);
      else this.#listeners.delete(kind);
    };
  }

  /**
   * Sends to every instance, this one included, or to one.
   *
   * @param to `all`, or an instance's id: then it rejects with `NO_LISTENER` when that instance is not there
   */
  send(to: 'all' | { instance: string }, header: { kind: string } & Partial<Header>, args: unknown[]): Promise<void> {
    const channel: Channel = to === 'all' ? 'all' : `instance:${to.instance}`;
    return this.#bus.publish(channel, encode({ ...stamp(this.#bus.instance), ...header }, args));
  }

  /** Whether an instance by this id has spoken on the control channels: it writes whole envelopes. */
  knows(origin: string): boolean {
    const part = origin.indexOf('/');
    return this.#known.has(part < 0 ? origin : origin.slice(0, part));
  }

  #receive(payload: Buffer): void {
    const message = decode(payload, (origin) => this.knows(origin));
    const listeners = message === NEWER ? undefined : this.#listeners.get(message.header.kind ?? '');
    if (message === NEWER || !listeners) {
      // A kind that this version, or this process, has no use for.
      this.#bus.counts.ignored++;
      return;
    }
    this.#learn(message.header.origin);
    for (const listener of listeners) listener(message);
  }

  #learn(origin: string | undefined): void {
    if (origin === undefined || this.knows(origin)) return;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.add(origin.split('/', 1)[0] ?? origin);
  }
}

/** Instances come and go under new ids; the set of those seen must not grow for ever. */
const MAX_KNOWN = 10_000;
