/*
 * Jobs, as the bus has them: enqueueing with a bounded wait, the queues this process works on (kept as data, and asked
 * for again on every link), and what an operator does with dead letters. It opens no links; the bus hands them in.
 */
import { setMaxListeners } from 'node:events';
import type { BackoffOptions } from './backoff.js';
import { deadline, pause } from './deadline.js';
import { BroadcastError, toError } from './errors.js';
import { checkQueue, encodeJob, isJobId } from './job.js';
import { JobCounts, type QueueCounts } from './job-counts.js';
import { attributesOf, JobConsumer, RETRY_DELAYS, type JobHandler, type WorkOptions } from './job-consumer.js';
import type { DeadJob, DeadSelection, EnqueueOptions, JobQueues, QueueStats, StoredJob } from './job-queues.js';
import type { Tracing } from './tracing.js';
import { ulid } from './ulid.js';

export interface JobsSurroundings {
  /** Jobs that may wait for a link. */
  outboxSize: number;
  /** How long a call may wait for a link, in ms. */
  outboxAge: number;
  /** Deadline of the broker's answer, in ms. */
  callTimeout: number;
  /** Bytes waiting and unanswered. */
  maxBytes: number;
  backoff: BackoffOptions;
  tracing: Tracing;
  /** The broker left a call unanswered: the link is not to be trusted any more. */
  failed: (cause: Error) => void;
  report: (error: BroadcastError) => void;
}

export interface JobOptions {
  /** 1 to 200 characters, and at most 255 bytes: the same id within 5 minutes is the same job, where the broker can tell. @default a new ULID */
  id?: string;
  /** Ms before a worker may have it, up to 14 days. @default 0 */
  delay?: number;
}

const LONGEST_DELAY = 14 * 24 * 60 * 60 * 1_000;
/** Ms between two tries of what was not sent. */
const AGAIN = 50;
/** Deadline of what an operator asks for, in ms: there may be thousands of dead letters. */
const PATIENCE = 60_000;

interface Connected {
  readonly queues: JobQueues;
  readonly gone: AbortController;
  /** Told at its end: the calls that are under way. */
  readonly calls: Set<() => void>;
}

export class Jobs {
  readonly #counts = new JobCounts();
  readonly #around: JobsSurroundings;
  readonly #consumers = new Set<JobConsumer>();
  readonly #closing = new AbortController();
  /** Called when there is a link, or it is not blocked any more. */
  #waiting = new Set<() => void>();
  #bytes = 0;
  #link?: Connected;
  #blocked = false;

  constructor(around: JobsSurroundings) {
    this.#around = around;
    // As many as there are calls that wait to be tried again: bounded, but more than Node warns at.
    setMaxListeners(0, this.#closing.signal);
  }

  /** What happened here so far, in numbers that only grow. */
  get counts(): Omit<QueueCounts, 'duration'> {
    return this.#counts.total;
  }

  /** The same by queue, of the first hundred that were named here. */
  get queues(): ReadonlyMap<string, QueueCounts> {
    return this.#counts.queues;
  }

  /** Jobs that are running here, by queue. */
  get running(): ReadonlyMap<string, number> {
    return new Map([...this.#consumers].map(({ queue, busy }) => [queue, busy]));
  }

  /**
   * Hands work to one worker of a queue. Resolves when the broker has it for good. Rejects with `UNAVAILABLE` (nothing was
   * sent), `UNCERTAIN` (enqueue it again with the same id), `OVERLOADED`, `BAD_REQUEST` or `CLOSED`; never later than
   * the outbox's age plus the call's deadline.
   */
  async enqueue(queue: string, pattern: string, data?: unknown, options: JobOptions = {}): Promise<{ id: string }> {
    const { id = ulid(), delay = 0 } = options;
    checkQueue(queue);
    if (!isJobId(id)) {
      const expected = '1 to 200 characters, and at most 255 bytes in UTF-8';
      throw new BroadcastError('BAD_REQUEST', `the id of a job has to be ${expected}`);
    }
    if (!(delay >= 0 && delay <= LONGEST_DELAY)) {
      throw new BroadcastError('BAD_REQUEST', 'the delay of a job has to be from 0 ms to 14 days');
    }
    const attributes = () => attributesOf({ queue, id, pattern });
    await this.#around.tracing.produce('enqueue', attributes, async (traceparent) => {
      const body = encodeJob({ pattern, data, id, traceparent });
      await this.#enqueue(queue, { id, body }, { delay: Math.ceil(delay), once: options.id !== undefined });
    });
    this.#counts.of(queue).enqueued++;
    return { id };
  }

  /** Within the bytes that may be waiting. */
  async #enqueue(queue: string, job: StoredJob, options: EnqueueOptions): Promise<void> {
    const { length } = job.body;
    const { maxBytes } = this.#around;
    if (this.#bytes + length > maxBytes) {
      throw new BroadcastError('OVERLOADED', `more than ${maxBytes} bytes of jobs are waiting to be sent`);
    }
    this.#bytes += length;
    try {
      await this.#call('enqueueing', (queues) => queues.enqueue(queue, job, options));
    } finally {
      this.#bytes -= length;
    }
  }

  /**
   * Works on a queue, from now on and through every outage. One call a queue in a process.
   *
   * @param handler what takes a job: one for all, or a function that finds one by the job's pattern
   * @throws BroadcastError `BAD_REQUEST`, `CLOSED`
   */
  consume(
    queue: string,
    handler: JobHandler | ((pattern: string) => JobHandler | undefined),
    options: WorkOptions = {},
  ): JobConsumer {
    checkQueue(queue);
    if (this.#closing.signal.aborted) throw closed();
    for (const consumer of this.#consumers) {
      if (consumer.queue !== queue) continue;
      throw new BroadcastError('BAD_REQUEST', `this process works on ${queue} already: give one consumer all handlers`);
    }
    const { callTimeout, backoff, report, tracing } = this.#around;
    const consumer = new JobConsumer(queue, typeof handler === 'function' ? handler : () => handler, options, {
      ...{ callTimeout, backoff, report, tracing, counts: this.#counts.of(queue) },
      unblocked: (signal) => this.#unblocked(signal),
      closed: (consumer) => this.#consumers.delete(consumer),
    });
    this.#consumers.add(consumer);
    if (this.#link) consumer.attach(this.#link.queues, this.#link.gone.signal);
    return consumer;
  }

  /** @param delays retry delays that handlers of the queue use, if not the default ones: RabbitMQ has a queue for each */
  async stats(queue: string, delays: readonly number[] = RETRY_DELAYS): Promise<QueueStats> {
    checkQueue(queue);
    return this.#call('counting', (queues) => queues.stats(queue, delays), PATIENCE);
  }

  /** What was given up, the oldest first: why, after how many attempts, and with which error. */
  async dead(queue: string, selection: DeadSelection = {}): Promise<DeadJob[]> {
    return this.#call('reading dead letters', (queues) => queues.dead(checkQueue(queue), checked(selection)), PATIENCE);
  }

  /** Puts dead letters back into their queue, as if they were new. Resolves with how many. */
  async replay(queue: string, selection: DeadSelection = {}): Promise<number> {
    return this.#call('replaying', (queues) => queues.replay(checkQueue(queue), checked(selection)), PATIENCE);
  }

  /** Forgets dead letters. Resolves with how many. */
  async purge(queue: string, selection: DeadSelection = {}): Promise<number> {
    return this.#call('purging', (queues) => queues.purge(checkQueue(queue), checked(selection)), PATIENCE);
  }

  /** A link is up: what waits is sent, and it is asked for the jobs of every queue. */
  attach({ jobs: queues }: { readonly jobs: JobQueues }): void {
    this.#link = { queues, gone: new AbortController(), calls: new Set() };
    for (const consumer of this.#consumers) consumer.attach(queues, this.#link.gone.signal);
    this.#wake();
  }

  /** The link is gone. */
  detach(): void {
    this.#link?.gone.abort();
    for (const fail of this.#link?.calls ?? []) fail();
    this.#link = undefined;
    this.#blocked = false;
  }

  block(on: boolean): void {
    this.#blocked = on;
    if (!on) this.#wake();
  }

  /** Ends the work on all queues, as {@link JobConsumer.close} does, and refuses everything from then on. */
  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close(this.#link ? undefined : 0)));
    this.#closing.abort();
    this.#wake();
  }

  async #call<T>(what: string, use: (queues: JobQueues) => Promise<T>, within?: number): Promise<T> {
    const end = performance.now() + this.#around.outboxAge;
    for (;;) {
      const link = await this.#linkBefore(end);
      try {
        return await this.#within(link, what, use, within);
      } catch (error) {
        const nothingSent = error instanceof BroadcastError && error.code === 'UNAVAILABLE';
        if (!nothingSent || performance.now() + AGAIN > end) throw error;
        await pause(AGAIN, this.#closing.signal);
      }
    }
  }

  async #within<T>(
    link: Connected,
    what: string,
    use: (queues: JobQueues) => Promise<T>,
    callTimeout = this.#around.callTimeout,
  ): Promise<T> {
    const { failed } = this.#around;
    let gone!: () => void;
    const lost = new Promise<never>((_resolve, reject) => {
      gone = () => reject(new BroadcastError('UNCERTAIN', `${what} failed: the link broke before the broker answered`));
      link.calls.add(gone);
    });
    try {
      return await deadline(Promise.race([use(link.queues), lost]), callTimeout, what);
    } catch (thrown) {
      const error = toError(thrown);
      if (!(error instanceof BroadcastError)) {
        throw new BroadcastError('UNCERTAIN', `${what} failed: ${error.message}`, { cause: error });
      }
      if (error.code !== 'TIMEOUT') throw error;
      const late = new BroadcastError('UNCERTAIN', `${what} failed: no answer within ${callTimeout} ms`, {
        cause: error,
      });
      // A broker that has said "blocked" is alive.
      if (!this.#blocked && this.#link === link) failed(late);
      throw late;
    } finally {
      link.calls.delete(gone);
    }
  }

  async #linkBefore(end: number): Promise<Connected> {
    const { outboxSize, outboxAge } = this.#around;
    for (;;) {
      if (this.#closing.signal.aborted) throw closed();
      if (this.#link && !this.#blocked) return this.#link;
      const why = this.#link ? 'the broker took no messages' : 'there was no link to the broker';
      if (this.#waiting.size >= outboxSize) {
        throw new BroadcastError('UNAVAILABLE', `${why}, and ${outboxSize} jobs are waiting already: nothing was sent`);
      }
      const left = end - performance.now();
      if (left <= 0) throw new BroadcastError('UNAVAILABLE', `${why} within ${outboxAge} ms: nothing was sent`);
      await this.#change(left);
    }
  }

  /** Resolves when something has changed, or after `ms`. */
  #change(ms: number, signal?: AbortSignal): Promise<void> {
    const changed = new AbortController();
    const wake = () => changed.abort();
    this.#waiting.add(wake);
    return pause(ms, signal ? AbortSignal.any([signal, changed.signal]) : changed.signal).finally(() =>
      this.#waiting.delete(wake),
    );
  }

  async #unblocked(signal: AbortSignal): Promise<void> {
    while (this.#blocked && !signal.aborted) await this.#change(1_000, signal);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function checked({ id, limit }: DeadSelection): DeadSelection {
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) {
    throw new BroadcastError('BAD_REQUEST', 'a limit has to be a whole number above 0');
  }
  return { ...(id !== undefined && { id }), ...(limit !== undefined && { limit }) };
}

function closed(): BroadcastError {
  return new BroadcastError('CLOSED', 'the bus was closed');
}
