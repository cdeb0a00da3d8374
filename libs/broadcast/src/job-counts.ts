/*
 * What happened to jobs in this process, by queue, in numbers that only grow.
 */
import { Timing } from './timing.js';

export interface QueueCounts {
  /** Handed to the broker from here. */
  enqueued: number;
  done: number;
  /** Attempts that threw. */
  failed: number;
  /** Put back to be tried again. */
  retried: number;
  /** Given up. */
  dead: number;
  /** How long handlers took, whatever came of it. */
  readonly duration: Timing;
}

/** Queues that are told apart; who makes up a queue's name for each job is not followed any further. */
const MOST_QUEUES = 100;
/** Stands for all the others. No queue can be called that: see checkQueue(). */
export const OTHER_QUEUES = '(other)';
const STEPS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

export class JobCounts {
  readonly #queues = new Map<string, QueueCounts>();

  of(queue: string): QueueCounts {
    return this.#queues.get(queue) ?? this.#begin(this.#queues.size < MOST_QUEUES ? queue : OTHER_QUEUES);
  }

  get queues(): ReadonlyMap<string, QueueCounts> {
    return this.#queues;
  }

  /** Of all queues. */
  get total(): Omit<QueueCounts, 'duration'> {
    const total = { enqueued: 0, done: 0, failed: 0, retried: 0, dead: 0 };
    for (const counts of this.#queues.values()) {
      for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += counts[name];
    }
    return total;
  }

  #begin(queue: string): QueueCounts {
    const known = this.#queues.get(queue);
    if (known) return known;
    const counts = { enqueued: 0, done: 0, failed: 0, retried: 0, dead: 0, duration: new Timing(STEPS) };
    this.#queues.set(queue, counts);
    return counts;
  }
}
