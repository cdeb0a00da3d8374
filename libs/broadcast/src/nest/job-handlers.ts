/*
 * The `@OnJob` handlers of an application: which of them a job is for, and the consumers of their queues.
 */
import { RpcException, type MessageHandler } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { lastValueFrom } from 'rxjs';
import { toError } from '../errors.js';
import type { Job, JobConsumer, JobHandler, WorkOptions } from '../job-consumer.js';
import type { Jobs } from '../jobs.js';
import { JobContext } from './job.context.js';
import { JOB, type OnJobOptions } from './on-job.decorator.js';
import { matches } from './pattern.js';

export type JobServerOptions = Pick<WorkOptions, 'lease' | 'grace'>;

type Run = (handler: MessageHandler, data: unknown, context: JobContext) => Promise<Observable<unknown>>;

export class JobHandlers {
  readonly #jobs: Jobs;
  readonly #options: JobServerOptions;
  readonly #run: Run;
  readonly #failed: (error: unknown, job: Job) => void;
  /** By queue, then by pattern. */
  readonly #queues = new Map<string, Map<string, JobHandler>>();
  readonly #concurrency = new Map<string, number>();
  #consumers: JobConsumer[] = [];

  constructor(jobs: Jobs, options: JobServerOptions, run: Run, failed: (error: unknown, job: Job) => void) {
    this.#jobs = jobs;
    this.#options = options;
    this.#run = run;
    this.#failed = failed;
  }

  /** Whether the handler is one for jobs, and was taken. */
  add(pattern: string, handler: MessageHandler, extras: Record<string, unknown>): boolean {
    const options = extras[JOB] as OnJobOptions | undefined;
    if (!options) return false;
    const { queue, concurrency = 10, attempts, retryDelays } = options;
    const handlers = this.#queues.get(queue) ?? new Map<string, JobHandler>();
    this.#queues.set(queue, handlers);
    this.#concurrency.set(queue, Math.max(concurrency, this.#concurrency.get(queue) ?? 1));
    handlers.set(pattern, { attempts, retryDelays, handle: (job) => this.#handle(handler, job) });
    return true;
  }

  /** Begins to work. */
  listen(): void {
    for (const [queue, handlers] of this.#queues) {
      const concurrency = this.#concurrency.get(queue);
      const find = (subject: string) => handlers.get(subject) ?? wildcard(handlers, subject);
      this.#consumers.push(this.#jobs.consume(queue, find, { ...this.#options, concurrency }));
    }
  }

  /** Waits for what runs, for the grace, and gives the rest back. */
  async close(): Promise<void> {
    await Promise.all(this.#consumers.splice(0).map((consumer) => consumer.close()));
  }

  async #handle(handler: MessageHandler, job: Job): Promise<void> {
    try {
      const stream = await this.#run(handler, job.data, new JobContext([job]));
      await lastValueFrom(stream, { defaultValue: undefined });
    } catch (thrown) {
      this.#failed(thrown, job);
      throw asError(thrown);
    }
  }
}

function wildcard(handlers: ReadonlyMap<string, JobHandler>, subject: string): JobHandler | undefined {
  for (const [pattern, handler] of handlers) if (matches(pattern, subject)) return handler;
  return undefined;
}

/** What pipes, guards and handlers throw, with a message and perhaps a code to go by. */
function asError(thrown: unknown): unknown {
  const error: unknown = thrown instanceof RpcException ? thrown.getError() : thrown;
  if (error instanceof Error || typeof error !== 'object' || error === null) return error;
  return toError(error);
}
