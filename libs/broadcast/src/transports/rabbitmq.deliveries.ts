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
   * read goes there at once: it will not be more readable the second time.
   */
  take(message: ConsumeMessage, handle: () => void): void {
    if (this.#ended) return;
    try {
      handle();
    } catch (thrown) {
      // Those before it first: a later acknowledgement of "all up to here" is then about other messages only.
      this.#acknowledge();
      const again = !message.fields.redelivered && !isUnreadable(thrown);
      this.#answer(() => this.#channel.nack(message, false, again));
      return;
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

function isUnreadable(thrown: unknown): boolean {
  return thrown instanceof BroadcastError && thrown.code === 'UNREADABLE';
}
