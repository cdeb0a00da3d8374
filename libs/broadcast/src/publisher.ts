/*
 * The way out: sends in order, waits a bounded time for a link, puts a deadline on the broker's answer, and lets no
 * more than a bounded amount be under way. It opens no links; the bus hands them in and takes them back.
 */
import { BroadcastError } from './errors.js';
import type { Channel, Link } from './transport.js';

export interface PublisherOptions {
  /** Messages that may wait while there is no link. */
  outboxSize: number;
  /** How long a message may wait for a link, in ms. Then it is refused: nothing is sent late. */
  outboxAge: number;
  /** Deadline of the broker's answer, in ms. */
  callTimeout: number;
  /** Bytes waiting and under way together. */
  maxBytes: number;
  /** A message stayed unanswered past its deadline: the link is not to be trusted any more. */
  failed: (cause: Error) => void;
}

interface Pending {
  readonly channel: Channel;
  readonly payload: Buffer;
  /** When its present wait began: in the outbox, then under way. */
  since: number;
  resolve(): void;
  reject(error: Error): void;
}

/** How often overdue messages are looked for, in ms. One timer for all of them: a timer each costs more than sending. */
const SWEEP = 100;

export class Publisher {
  readonly #options: PublisherOptions;
  /** Both in the order of sending, which is the order of age. */
  readonly #outbox = new Set<Pending>();
  readonly #underWay = new Set<Pending>();
  #bytes = 0;
  #link?: Link;
  #blocked = false;
  #closed = false;
  #timer?: NodeJS.Timeout;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the broker has accepted the message. Rejects with `UNAVAILABLE` (no link within the outbox's age, or
   * the outbox is full), `OVERLOADED`, `UNCERTAIN` (sent, but never answered), `CLOSED`, or what the driver says.
   */
  publish(channel: Channel, payload: Buffer): Promise<void> {
    const refusal = this.#refusal(payload);
    if (refusal) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const pending = { channel, payload, since: performance.now(), resolve, reject };
      this.#bytes += payload.length;
      if (this.#link && !this.#blocked) this.#send(this.#link, pending);
      else this.#outbox.add(pending);
      this.#sweepLater();
    });
  }

  /** Sends what waits, in order, and from now on everything at once. */
  attach(link: Link): void {
    this.#link = link;
    this.#flush();
  }

  /** The link is gone. What was under way may or may not have arrived, and says so. */
  detach(): void {
    this.#link = undefined;
    this.#blocked = false;
    const error = uncertain();
    for (const pending of this.#underWay) this.#settle(pending, error);
  }

  /** The broker asks to stop or to go on. */
  block(on: boolean): void {
    this.#blocked = on;
    this.#flush();
  }

  /** Takes nothing more, and resolves when nothing is waiting or under way: bounded, since every wait is. */
  async finish(): Promise<void> {
    this.#closed = true;
    while (this.#outbox.size + this.#underWay.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  close(): void {
    this.#closed = true;
    this.#link = undefined;
    clearTimeout(this.#timer);
    const error = new BroadcastError('CLOSED', 'the bus was closed');
    for (const pending of [...this.#outbox, ...this.#underWay]) this.#settle(pending, error);
  }

  #refusal(payload: Buffer): BroadcastError | undefined {
    if (this.#closed) return new BroadcastError('CLOSED', 'the bus was closed');
    if (this.#bytes + payload.length > this.#options.maxBytes) {
      return new BroadcastError('OVERLOADED', `more than ${this.#options.maxBytes} bytes are waiting to be sent`);
    }
    if ((!this.#link || this.#blocked) && this.#outbox.size >= this.#options.outboxSize) {
      const why = this.#blocked ? 'the broker takes no messages now' : 'there is no link to the broker';
      return new BroadcastError('UNAVAILABLE', `${why}, and ${this.#options.outboxSize} messages are waiting already`);
    }
    return undefined;
  }

  #flush(): void {
    for (const pending of this.#outbox) {
      if (!this.#link || this.#blocked) return;
      if (performance.now() - pending.since >= this.#options.outboxAge) continue; // The sweep is about to refuse it.
      this.#outbox.delete(pending);
      this.#send(this.#link, pending);
    }
  }

  #send(link: Link, pending: Pending): void {
    pending.since = performance.now();
    this.#underWay.add(pending);
    link.publish(pending.channel, pending.payload).then(
      () => this.#settle(pending),
      (error: unknown) => {
        this.#settle(pending, error instanceof BroadcastError ? error : uncertain(error));
      },
    );
  }

  #settle(pending: Pending, error?: Error): void {
    if (!this.#outbox.delete(pending) && !this.#underWay.delete(pending)) return;
    this.#bytes -= pending.payload.length;
    if (error) pending.reject(error);
    else pending.resolve();
  }

  #sweepLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
      if (this.#outbox.size + this.#underWay.size > 0) this.#sweepLater();
    }, SWEEP);
  }

  #sweep(): void {
    const { outboxAge, callTimeout, failed } = this.#options;
    const now = performance.now();
    for (const pending of this.#outbox) {
      if (now - pending.since < outboxAge) break;
      const why = this.#blocked ? 'the broker took no messages' : 'there was no link to the broker';
      this.#settle(pending, new BroadcastError('UNAVAILABLE', `${why} within ${outboxAge} ms: nothing was sent`));
    }
    let overdue: BroadcastError | undefined;
    for (const pending of this.#underWay) {
      if (now - pending.since < callTimeout) break;
      overdue ??= new BroadcastError('UNCERTAIN', `the broker did not answer within ${callTimeout} ms`);
      this.#settle(pending, overdue);
    }
    // A broker that has said "blocked" is alive and keeps its consumers: opening another link would only lose those.
    if (overdue && !this.#blocked) failed(overdue);
  }
}

function uncertain(cause?: unknown): BroadcastError {
  return new BroadcastError('UNCERTAIN', 'the link broke before the broker answered: it may have arrived', { cause });
}
