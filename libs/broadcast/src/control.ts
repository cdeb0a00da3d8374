/*
 * What instances say to each other, beside the rooms: messages of kinds. It rides on two channels of the bus (`all` and
 * this instance's own) and reads each message once, whoever listens.
 */
import { decode, encode, NEWER, stamp, type Header, type Message } from './envelope.js';
import { toError } from './errors.js';
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
   * @throws BroadcastError through the promise, `BAD_REQUEST` for arguments that cannot be encoded too
   */
  async send(
    to: 'all' | { instance: string },
    header: { kind: string } & Partial<Header>,
    args: unknown[],
  ): Promise<void> {
    const channel: Channel = to === 'all' ? 'all' : `instance:${to.instance}`;
    await this.#bus.publish(channel, encode({ ...stamp(this.#bus.instance), ...header }, args));
  }

  #receive(payload: Buffer): void {
    const message = decode(payload);
    const listeners = message === NEWER ? undefined : this.#listeners.get(message.header.kind ?? '');
    if (message === NEWER || !listeners) {
      // A kind that this version, or this process, has no use for.
      this.#bus.counts.ignored++;
      return;
    }
    let failure: Error | undefined;
    for (const listener of listeners) {
      try {
        listener(message);
      } catch (thrown) {
        failure ??= toError(thrown);
      }
    }
    if (failure) throw failure;
  }
}
