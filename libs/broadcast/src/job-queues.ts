/*
 * What a link offers for jobs: work for exactly one worker of a queue. A driver stores, hands out and settles. When a
 * job is tried again, and when it is given up, is decided above it, in job-consumer.ts.
 *
 * At least once: a job is at the broker until its delivery has been settled. Whatever ends a delivery without that (a
 * killed worker, a lost link) has it delivered again.
 */
export interface JobQueues {
  /** Resolves when the broker has the job for good. Rejects with `UNAVAILABLE` when nothing was sent. */
  enqueue(queue: string, job: StoredJob, options: EnqueueOptions): Promise<void>;
  /** Resolves when the broker hands out jobs. One call a queue and link. */
  consume(queue: string, events: ConsumeEvents, options: ConsumeOptions): Promise<Consumption>;
  /** @param delays the retry delays that were used, in ms: some brokers have a queue for each */
  stats(queue: string, delays: readonly number[]): Promise<QueueStats>;
  /** What was given up, the oldest first. */
  dead(queue: string, selection: DeadSelection): Promise<DeadJob[]>;
  /** Puts dead letters back into their queue, as if they were new. Resolves with how many. */
  replay(queue: string, selection: DeadSelection): Promise<number>;
  /** Forgets dead letters. Resolves with how many. */
  purge(queue: string, selection: DeadSelection): Promise<number>;
}

export interface StoredJob {
  readonly id: string;
  /** The packet: see job.ts. */
  readonly body: Buffer;
}

export interface EnqueueOptions {
  /** Ms before it may be handed out. */
  delay: number;
  /** The id was chosen by the caller: within 5 minutes the same id is the same job, where the broker can tell. */
  once: boolean;
}

export interface ConsumeEvents {
  /** A job arrived. Synchronous; never throws. */
  job(delivery: Delivery): void;
  /** Nothing more will come, though the link may be well: a deleted queue, a refusal. Later calls are ignored. */
  lost(cause: Error): void;
}

export interface ConsumeOptions {
  /** Deliveries that may be unsettled at a time. */
  concurrency: number;
  /** Ms after which a job of a worker that has fallen silent goes to another one, where the broker needs to be told. */
  lease: number;
}

export interface Consumption {
  /** Takes no more. What was delivered can still be settled. */
  stop(): Promise<void>;
  /** Lets go of everything. What is not settled will be delivered again. Bounded in time; never rejects. */
  close(): Promise<void>;
}

export interface Delivery extends StoredJob {
  /** Attempts that had failed when it was put where it was taken from. */
  readonly failures: number;
  /** How often it was taken from there: more than once if a worker or its link was lost. */
  readonly deliveries: number;
  /** Where the last part ended, if it was done in parts. */
  readonly progress?: string;
  /** Resolves when the broker was told. May be called once. */
  settle(outcome: Outcome): Promise<void>;
}

/** What has become of a delivery. */
export type Outcome =
  | { readonly kind: 'done' }
  /** Once more after `delay` ms. */
  | { readonly kind: 'retry'; readonly delay: number; readonly failures: number; readonly error: string }
  /** A part is done: the rest goes to the end of the queue, with no failures. */
  | { readonly kind: 'continue'; readonly progress: string }
  | { readonly kind: 'dead'; readonly reason: DeadReason; readonly attempts: number; readonly error: string };

/**
 * Why a job was given up:
 *
 * - `failed`: as many attempts as it may have.
 * - `refused`: the handler threw `BAD_REQUEST` or `TOO_LARGE`: it would do so every time.
 * - `worker_lost`: its workers died, or lost the broker, while they had it.
 * - `no_handler`: no handler of the worker takes its pattern.
 * - `unreadable`: not a packet (job.ts).
 */
export type DeadReason = 'failed' | 'refused' | 'worker_lost' | 'no_handler' | 'unreadable';

export interface DeadJob extends StoredJob {
  /** A {@link DeadReason}, or the broker's own word. */
  readonly reason: string;
  readonly attempts: number;
  /** What the last attempt failed with. */
  readonly error: string;
  /** When it was given up, in ms since 1970. */
  readonly at: number;
}

export interface DeadSelection {
  /** Only the job of this id. */
  readonly id?: string;
  /** At most so many, the oldest first. @default all */
  readonly limit?: number;
}

export interface QueueStats {
  /** May be handed out now. */
  readonly waiting: number;
  /** Handed out and not settled. Not every broker tells. */
  readonly running?: number;
  /** Waiting for their time: delayed jobs, and retries. */
  readonly delayed: number;
  readonly dead: number;
}

/** A count that anybody may have written: what is none is 0. */
export function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** Longest text of an error that is kept with a job. */
const LONGEST_ERROR = 1_000;

export function shortened(error: string): string {
  return error.length <= LONGEST_ERROR ? error : `${error.slice(0, LONGEST_ERROR)}…`;
}
