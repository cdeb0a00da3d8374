/*
 * A bucket for each of many: users, rooms. One that is full again is forgotten, since a new one would be the same.
 */
import { TokenBucket, type Limit } from './token-bucket.js';

/** Time between two looks for full ones, in ms. */
const SWEEP = 10_000;

export class Buckets {
  readonly #limit: Limit;
  readonly #buckets = new Map<string, TokenBucket>();
  #sweptAt = 0;

  constructor(limit: Limit) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** That of one of them. */
  of(name: string, now: number): TokenBucket {
    if (now - this.#sweptAt > SWEEP) this.#sweep(now);
    const known = this.#buckets.get(name);
    if (known) return known;
    const made = new TokenBucket(this.#limit, now);
    this.#buckets.set(name, made);
    return made;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [name, bucket] of this.#buckets) if (bucket.isFull(now)) this.#buckets.delete(name);
  }
}
