/*
 * So many in so much time: a bucket that fills again evenly, from which each thing that is done takes one.
 */
import type { Rate } from '@app/broadcast';

/** A rate that is one. */
export type Limit = Exclude<Rate, 'off'>;

export class TokenBucket {
  readonly #limit: Limit;
  #tokens: number;
  #at: number;

  constructor(limit: Limit, now: number) {
    this.#limit = limit;
    this.#tokens = limit.count;
    this.#at = now;
  }

  /** Takes one. Returns 0, or without one to take, in how many ms there is one. */
  take(now: number): number {
    this.#fill(now);
    if (this.#tokens >= 1) {
      this.#tokens--;
      return 0;
    }
    return Math.ceil(((1 - this.#tokens) * this.#limit.per) / this.#limit.count);
  }

  /** Gives back what was taken for something that was not done. */
  giveBack(): void {
    this.#tokens = Math.min(this.#limit.count, this.#tokens + 1);
  }

  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= this.#limit.count;
  }

  #fill(now: number): void {
    const { count, per } = this.#limit;
    this.#tokens = Math.min(count, this.#tokens + ((now - this.#at) * count) / per);
    this.#at = now;
  }
}
