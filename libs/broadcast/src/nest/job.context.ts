/*
 * What a handler learns about its job: `@Ctx() context: JobContext`.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import type { Job } from '../job-consumer.js';

export class JobContext extends BaseRpcContext<[Job]> {
  /** The same at every attempt. */
  getId(): string {
    return this.args[0].id;
  }

  getQueue(): string {
    return this.args[0].queue;
  }

  /** What is to be done: `room.publish`, also where the handler's pattern has wildcards. */
  getSubject(): string {
    return this.args[0].pattern;
  }

  /** 1 at the first attempt. */
  getAttempt(): number {
    return this.args[0].attempt;
  }

  /** Where the last part of the job ended; `undefined` at its beginning. */
  getProgress(): string | undefined {
    return this.args[0].progress;
  }

  /** When the handler has returned, the job goes on from here instead of being done. */
  continueWith(progress: string): void {
    this.args[0].continueWith(progress);
  }
}
