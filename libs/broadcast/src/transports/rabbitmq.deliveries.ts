/*
 * Acknowledging deliveries: in batches while they are handled, one by one when they are not.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { BroadcastError, toError } from '../errors.js';

const BATCH = 100;

export class Deliveries {
  readonly #channel: Pick<Channel, 'ack' | 'nack'>;
  readonly #failed: (cause: Error) => void;
  /** The newest of those that are handled and not yet acknowledged. */
  #newest: ConsumeMessage | undefined;
  #handled = 0;
  #endOfTurn: NodeJS.Immediate | undefined;
  #ended = false;

  constructor(channel: Pick<Channel, 'ack' | 'nack'>, failed: (cause: Error) => void) {
    this.#channel = channel;
    this.#failed = failed;
  }

  /**
   * Runs `handle` and answers for the message: if it throws, once more, and then to the dead letters. What cannot be
   * read goes there at once: it will not be more readable the second time. What is not to be trusted is acknowledged, or
   * whoever forges could push the dead letters out; but not the second time, when it is refused as its own replay.
   */
  take(message: ConsumeMessage, handle: () => void): void {
    if (this.#ended) return;
    try {
      handle();
    } catch (thrown) {
      const first = !message.fields.redelivered;
      const code = thrown instanceof BroadcastError ? thrown.code : undefined;
      if (!first || code !== 'UNTRUSTED') return this.#refuse(message, first && code !== 'UNREADABLE');
    }
    this.#newest = message;
    if (++this.#handled >= BATCH) this.#acknowledge();
    else this.#endOfTurn ??= setImmediate(() => this.#acknowledge());
  }

  /** Nothing more is taken or answered. */
  end(): void {
    this.#ended = true;
    clearImmediate(this.#endOfTurn);
  }

  #refuse(message: ConsumeMessage, again: boolean): void {
    // Those before it first: a later acknowledgement of "all up to here" is then about other messages only.
    this.#acknowledge();
    this.#answer(() => this.#channel.nack(message, false, again));
  }

  #acknowledge(): void {
    clearImmediate(this.#endOfTurn);
    this.#endOfTurn = undefined;
    this.#handled = 0;
    const newest = this.#newest;
    this.#newest = undefined;
    if (newest) this.#answer(() => this.#channel.ack(newest, true));
  }

  /** A channel that has begun to close throws, and out of a timer that would end the process. */
  #answer(send: () => void): void {
    if (this.#ended) return;
    try {
      send();
    } catch (thrown) {
      this.#failed(toError(thrown));
    }
  }
}
