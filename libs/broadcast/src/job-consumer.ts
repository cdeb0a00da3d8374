/*
 * One queue that this process works on: which handler takes a job, how often and when it is tried again, and when it is
 * given up. It wants its jobs for as long as it is open, over every link; jobs.ts hands the links in.
 */
import { backoff, type BackoffOptions } from './backoff.js';
import { deadline, pause } from './deadline.js';
import { BroadcastError, codeOf, toError } from './errors.js';
import { decodeJob, type JobPacket } from './job.js';
import type { QueueCounts } from './job-counts.js';
import {
  shortened,
  type Consumption,
  type DeadReason,
  type Delivery,
  type JobQueues,
  type Outcome,
} from './job-queues.js';
import type { Attributes, Tracing } from './tracing.js';

/** A job in the hands of its handler. */
export interface Job extends JobPacket {
  readonly queue: string;
  /** The same at every attempt. */
  readonly id: string;
  /** 1 at the first attempt. Begins anew with every part of a job that is done in parts. */
  readonly attempt: number;
  /** What the last part gave to `continueWith()`; `undefined` at the beginning. */
  readonly progress?: string;
  /**
   * When the handler has returned, the job goes on with this progress instead of being done: it is kept at the broker,
   * and whoever gets the job next begins there. @throws BroadcastError `BAD_REQUEST` above 2,000 characters
   */
  continueWith(progress: string): void;
}

export interface JobHandler {
  /** Throws: the job is tried again. Throws `BAD_REQUEST` or `TOO_LARGE`: it never will be right, and goes
   * to the dead letters. */
  handle(job: Job): unknown;
  /** Attempts before the job goes to the dead letters, lost workers included: 1 to 19. @default 4 */
  readonly attempts?: number;
  /** Waits after each failed attempt, in ms; the last one repeats. @default [1_000, 5_000, 30_000] */
  readonly retryDelays?: readonly number[];
}

export interface WorkOptions {
  /** Jobs of this queue that run at the same time in this process. @default 10 */
  concurrency?: number;
  /** Ms after which a job of a worker that has fallen silent goes to another one. @default 30_000 */
  lease?: number;
  /** How long `close()` waits for running jobs, in ms; the rest is given back. @default 10_000 */
  grace?: number;
}

export const RETRY_DELAYS: readonly number[] = [1_000, 5_000, 30_000];

/** Below the delivery limit of the RabbitMQ queues, which gives up for good what this file does not. */
const MOST_ATTEMPTS = 19;
const ATTEMPTS = 4;
const LONGEST_PROGRESS = 2_000;
/** Jobs whose end is remembered, in case the broker never heard of it. */
const REMEMBERED = 1_000;
/** For so many ms an id stands for one job. */
const SAME = 5 * 60_000;
/** A consumption that lived this long starts the backoff afresh. */
const STABLE = 5_000;

export interface JobConsumerSurroundings {
  callTimeout: number;
  backoff: BackoffOptions;
  report: (error: BroadcastError) => void;
  tracing: Tracing;
  /** Resolves when the broker takes messages. */
  unblocked: (signal: AbortSignal) => Promise<void>;
  closed: (consumer: JobConsumer) => void;
  counts: QueueCounts;
}

/** A delivery that is not settled yet. */
interface Held {
  readonly delivery: Delivery;
  readonly ended: Promise<void>;
}

export class JobConsumer {
  readonly queue: string;
  readonly #find: (pattern: string) => JobHandler | undefined;
  readonly #options: Required<WorkOptions>;
  readonly #around: JobConsumerSurroundings;
  readonly #closing = new AbortController();
  /** What runs here, or ran here not long ago, by its stage: a job that comes again is not run again for that. */
  readonly #running = new Map<string, Promise<Outcome>>();
  readonly #ended = new Map<string, Outcome>();
  /** What is with its handler, by its part: others may have put it back, with a failure more, because they took it for lost. */
  readonly #handled = new Map<string, Promise<Outcome>>();
  /** What was done here when the broker had taken it for lost: others may have put it back since. */
  readonly #untold = new Map<string, { outcome: Outcome; until: number }>();
  readonly #held = new Set<Held>();
  readonly #settled = new WeakSet<Delivery>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #live = false;
  #expectant: (() => void)[] = [];
  #consumption?: Consumption;
  #serving: Promise<void> = Promise.resolve();
  #closed?: Promise<void>;

  constructor(
    queue: string,
    find: (pattern: string) => JobHandler | undefined,
    { concurrency = 10, lease = 30_000, grace = 10_000 }: WorkOptions,
    around: JobConsumerSurroundings,
  ) {
    this.queue = queue;
    this.#find = find;
    this.#options = {
      concurrency: whole('concurrency', concurrency, 1, 1_000),
      lease: whole('lease', lease, 1_000, 3_600_000),
      grace: whole('grace', grace, 0, 3_600_000),
    };
    this.#around = around;
  }

  /** Whether the broker hands out jobs to it, on the link of now. */
  get live(): boolean {
    return this.#live;
  }

  /** Jobs that are running here. */
  get busy(): number {
    return this.#busy;
  }

  /** Resolves when the broker hands out jobs to it. Rejects with `UNAVAILABLE` after `timeout` ms; it stays wanted. */
  async ready(timeout = this.#around.callTimeout): Promise<void> {
    if (this.#closing.signal.aborted) throw new BroadcastError('CLOSED', `the work on ${this.queue} was closed`);
    if (this.#live) return;
    const live = new Promise<void>((resolve) => this.#expectant.push(resolve));
    await deadline(live, timeout, 'waiting').catch(() => {
      throw new BroadcastError(
        'UNAVAILABLE',
        `the broker hands out no jobs of ${this.queue} yet; the bus goes on trying`,
      );
    });
  }

  /** A new link: asks it for jobs, again and again until `gone`. */
  attach(queues: JobQueues, gone: AbortSignal): void {
    const signal = AbortSignal.any([gone, this.#closing.signal]);
    this.#serving = this.#serve(queues, signal);
  }

  /**
   * Takes no more jobs, waits for those that run, and gives back what is not done then. Bounded in time; never rejects.
   *
   * @param grace instead of the option
   */
  close(grace = this.#options.grace): Promise<void> {
    return (this.#closed ??= this.#close(grace));
  }

  async #close(grace: number): Promise<void> {
    const { callTimeout } = this.#around;
    this.#live = false;
    const consumption = this.#consumption;
    this.#closing.abort();
    const done = (work: Promise<unknown>) => deadline(work, callTimeout, 'closing').catch(() => undefined);
    if (consumption) {
      await done(consumption.stop());
      const over = new AbortController();
      const ended = Promise.all([...this.#held].map(({ ended }) => ended));
      await Promise.race([ended, pause(grace, over.signal)]);
      over.abort();
      // It was not their fault: the attempt does not count.
      const error = 'the worker was closed before it was done';
      await done(
        Promise.all(
          [...this.#held].map(({ delivery }) =>
            this.#settle(delivery, { kind: 'retry', delay: 0, failures: attemptOf(delivery) - 1, error }),
          ),
        ),
      );
      await done(consumption.close());
    }
    await done(this.#serving);
    this.#around.closed(this);
  }

  /** One consumption after the other, on one link. */
  async #serve(queues: JobQueues, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted;) {
      const began = performance.now();
      const cause = await this.#consume(queues, signal);
      if (signal.aborted) return;
      const code = cause instanceof BroadcastError ? cause.code : 'UNAVAILABLE';
      const why = `no jobs of ${this.queue} for now: ${cause.message}`;
      this.#around.report(new BroadcastError(code, why, { cause }));
      if (performance.now() - began >= STABLE) attempt = 0;
      await pause(backoff(attempt++, this.#around.backoff), signal);
    }
  }

  /** Returns why it ended. */
  async #consume(queues: JobQueues, signal: AbortSignal): Promise<Error> {
    const { concurrency, lease } = this.#options;
    const { callTimeout } = this.#around;
    let lose!: (cause: Error) => void;
    const lost = new Promise<Error>((resolve) => (lose = resolve));
    let over = false;
    const served = new AbortController();
    const consuming = queues.consume(
      this.queue,
      { job: (delivery) => over || this.#take(delivery, lose), lost: lose },
      { concurrency, lease },
    );
    try {
      const consumption = await deadline(consuming, callTimeout, `asking for jobs of ${this.queue}`);
      if (signal.aborted) throw new Error('closed');
      this.#consumption = consumption;
      this.#live = true;
      for (const tell of this.#expectant.splice(0)) tell();
      const ended = new Promise<Error>((resolve) => {
        signal.addEventListener('abort', () => resolve(new Error('closed')), { signal: served.signal });
      });
      return await Promise.race([lost, ended]);
    } catch (error) {
      // One that comes to life after all is not wanted any more.
      consuming.then((late) => late.close()).catch(() => undefined);
      return toError(error);
    } finally {
      served.abort();
      this.#live = false;
      // When the consumer itself closes, the running jobs are settled first: see #close().
      if (!this.#closing.signal.aborted) {
        over = true;
        const consumption = this.#consumption;
        this.#consumption = undefined;
        if (consumption) await deadline(consumption.close(), callTimeout, 'closing').catch(() => undefined);
      }
    }
  }

  #take(delivery: Delivery, lose: (cause: Error) => void): void {
    const ended = this.#finish(delivery, lose);
    const held = { delivery, ended };
    this.#held.add(held);
    void ended.finally(() => this.#held.delete(held));
  }

  /** Never rejects. */
  async #finish(delivery: Delivery, lose: (cause: Error) => void): Promise<void> {
    let outcome: Outcome | undefined;
    try {
      outcome = await this.#outcome(delivery);
      await this.#settle(delivery, outcome);
    } catch (error) {
      if (outcome?.kind === 'done' || outcome?.kind === 'continue') this.#remember(delivery, outcome);
      // The broker has not heard of the end, so the job is still this worker's there: let go of it.
      lose(toError(error));
    }
  }

  async #settle(delivery: Delivery, outcome: Outcome): Promise<void> {
    if (this.#settled.has(delivery)) return;
    this.#settled.add(delivery);
    const { callTimeout, unblocked } = this.#around;
    // A broker short of memory takes acknowledgements, and nothing else.
    if (outcome.kind !== 'done') await unblocked(this.#closing.signal);
    await deadline(delivery.settle(outcome), callTimeout, `settling job ${delivery.id}`);
  }

  /**
   * What becomes of a delivery. A job that is running here already (its link was lost, and it was delivered again) has
   * the outcome of that run, and one that ended here a moment ago the outcome that the broker may not have heard of.
   */
  #outcome(delivery: Delivery): Promise<Outcome> {
    const part = partOf(delivery);
    const stage = `${part}\0${delivery.failures}`;
    const again = attemptOf(delivery) > 1;
    const running = this.#running.get(stage) ?? (again ? this.#handled.get(part) : undefined);
    if (running) return running;
    const known = delivery.deliveries > 1 ? this.#ended.get(stage) : undefined;
    if (known) return Promise.resolve(known);
    const untold = again ? this.#untold.get(part) : undefined;
    this.#untold.delete(part);
    if (untold && performance.now() < untold.until) return Promise.resolve(untold.outcome);
    const outcome = this.#judge(delivery);
    this.#running.set(stage, outcome);
    if (delivery.deliveries <= 1) this.#handled.set(part, outcome);
    void outcome.then((known) => {
      this.#running.delete(stage);
      if (this.#handled.get(part) === outcome) this.#handled.delete(part);
      this.#ended.delete(stage);
      this.#ended.set(stage, known);
      for (const oldest of this.#ended.keys()) if (this.#ended.size > REMEMBERED) this.#ended.delete(oldest);
    });
    return outcome;
  }

  #remember(delivery: Delivery, outcome: Outcome): void {
    this.#untold.set(partOf(delivery), { outcome, until: performance.now() + SAME });
    for (const oldest of this.#untold.keys()) if (this.#untold.size > REMEMBERED) this.#untold.delete(oldest);
  }

  /** Never rejects. */
  async #judge(delivery: Delivery): Promise<Outcome> {
    const attempt = attemptOf(delivery);
    let packet: JobPacket;
    try {
      packet = decodeJob(delivery.body);
    } catch (error) {
      return this.#dead(delivery, 'unreadable', attempt, toError(error).message);
    }
    const handler = this.#find(packet.pattern);
    if (!handler) {
      const error = `no handler of this worker takes ${JSON.stringify(packet.pattern)} from the queue ${this.queue}`;
      return this.#dead(delivery, 'no_handler', attempt - 1, error);
    }
    const { attempts = ATTEMPTS, retryDelays = RETRY_DELAYS } = handler;
    const delay = () => retryDelays[Math.min(attempt, retryDelays.length) - 1] ?? 0;
    const lost = delivery.deliveries > 1;
    if (lost && attempt > attempts) {
      return this.#dead(delivery, 'worker_lost', attempt - 1, `its worker was lost at attempt ${attempt - 1}`);
    }
    // It may be what ended its worker: it waits like one that has failed, or it would go through a fleet in a second.
    if (lost) {
      const failures = attempt - 1;
      const wait = retryDelays[Math.min(failures, retryDelays.length) - 1] ?? 0;
      this.#around.counts.retried++;
      return { kind: 'retry', delay: wait, failures, error: 'its worker was lost' };
    }
    try {
      return await this.#run(delivery, packet, handler, attempt);
    } catch (thrown) {
      const error = toError(thrown);
      const code = codeOf(error);
      this.#around.counts.failed++;
      const refused = code === 'BAD_REQUEST' || code === 'TOO_LARGE';
      if (refused || attempt >= attempts) {
        return this.#dead(delivery, refused ? 'refused' : 'failed', attempt, error.message);
      }
      this.#around.counts.retried++;
      return { kind: 'retry', delay: delay(), failures: attempt, error: shortened(error.message) };
    }
  }

  async #run(delivery: Delivery, packet: JobPacket, handler: JobHandler, attempt: number): Promise<Outcome> {
    const { id, progress } = delivery;
    let next: string | undefined;
    const continueWith = (text: string) => {
      if (typeof text !== 'string' || text.length > LONGEST_PROGRESS) {
        throw new BroadcastError(
          'BAD_REQUEST',
          `progress has to be a string of at most ${LONGEST_PROGRESS} characters`,
        );
      }
      next = text;
    };
    const { pattern, data } = packet;
    await this.#turn();
    const began = performance.now();
    try {
      const job = { queue: this.queue, id, pattern, data, attempt, progress, continueWith };
      const attributes = () => ({ ...attributesOf(job), 'roomcast.job.attempt': attempt });
      await this.#around.tracing.consume('job', packet.traceparent, attributes, () => handler.handle(job));
    } finally {
      this.#around.counts.duration.add(performance.now() - began);
      this.#busy--;
      this.#waiting.shift()?.();
    }
    if (next !== undefined) return { kind: 'continue', progress: next };
    this.#around.counts.done++;
    return { kind: 'done' };
  }

  /** What runs on from a lost link counts too. */
  async #turn(): Promise<void> {
    while (this.#busy >= this.#options.concurrency) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#busy++;
  }

  #dead({ id }: Delivery, reason: DeadReason, attempts: number, error: string): Outcome {
    this.#around.counts.dead++;
    const why = `job ${id} of ${this.queue} went to the dead letters (${reason}): ${shortened(error)}`;
    this.#around.report(new BroadcastError('LISTENER_FAILED', why, { about: { queue: this.queue, id } }));
    return { kind: 'dead', reason, attempts, error: shortened(error) };
  }
}

/** What a trace knows of a job. */
export function attributesOf({ queue, id, pattern }: Pick<Job, 'queue' | 'id' | 'pattern'>): Attributes {
  return {
    'messaging.system': 'roomcast',
    'messaging.destination.name': queue,
    'messaging.message.id': id,
    'roomcast.job.pattern': pattern,
  };
}

/** What a handler may ask for. @throws BroadcastError `BAD_REQUEST` */
export function checkHandler({ attempts = ATTEMPTS, retryDelays = RETRY_DELAYS }: Omit<JobHandler, 'handle'>): void {
  whole('attempts', attempts, 1, MOST_ATTEMPTS);
  for (const delay of retryDelays) whole('a retry delay', delay, 0, 86_400_000);
}

/** The same for every attempt at it. */
function partOf({ id, progress = '' }: Delivery): string {
  return `${id}\0${progress}`;
}

function attemptOf({ failures, deliveries }: Delivery): number {
  return failures + deliveries;
}

function whole(what: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new BroadcastError('BAD_REQUEST', `${what} has to be a whole number from ${min} to ${max}, not ${value}`);
}
