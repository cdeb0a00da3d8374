/*
 * `@OnJob(pattern, { queue })`: one worker of the queue does it.
 */
import { applyDecorators, Catch, UseFilters, type ExceptionFilter } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import { throwError, type Observable } from 'rxjs';
import { checkHandler, type JobHandler } from '../job-consumer.js';
import { checkQueue } from '../job.js';
import { BROADCAST_TRANSPORT } from './on-broadcast.decorator.js';

export interface OnJobOptions extends Pick<JobHandler, 'attempts' | 'retryDelays'> {
  queue: string;
  /** Jobs of the queue that run at the same time in this process: the largest of its handlers' wishes. @default 10 */
  concurrency?: number;
}

/** Where Nest keeps the options with the handler. */
export const JOB = 'roomcast:job';

/** Nest would make every error "Internal server error": the job is to keep what really happened. */
@Catch()
class JobErrors implements ExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() => error);
  }
}

/**
 * The method does the jobs whose pattern is the given one, or one that it stands for: `room.publish`, `room.*`. What it
 * throws has the job tried again; `BroadcastError('BAD_REQUEST', …)` sends it to the dead letters at once.
 *
 * @throws BroadcastError `BAD_REQUEST`
 */
export function OnJob(pattern: string, options: OnJobOptions): MethodDecorator {
  checkQueue(options.queue);
  checkHandler(options);
  return applyDecorators(
    EventPattern<string>(pattern, BROADCAST_TRANSPORT, { [JOB]: options }),
    UseFilters(new JobErrors()),
  );
}
