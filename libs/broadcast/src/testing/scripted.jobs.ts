/*
 * The jobs of a broker that does what a test tells it: see scripted.ts.
 */
import type {
  ConsumeEvents,
  ConsumeOptions,
  Consumption,
  DeadJob,
  Delivery,
  JobQueues,
  Outcome,
  QueueStats,
  StoredJob,
} from '../job-queues.js';

export class ScriptedConsumption implements Consumption {
  readonly settled: Outcome[] = [];
  stopped = false;
  closed = false;
  /** What settling comes to. */
  answer: () => Promise<void> = () => Promise.resolve();

  constructor(
    readonly queue: string,
    readonly events: ConsumeEvents,
    readonly options: ConsumeOptions,
  ) {}

  /** Hands out a job. */
  deliver(body: string | Buffer, delivery: Partial<Delivery> = {}): void {
    const settle = (outcome: Outcome) => {
      this.settled.push(outcome);
      return this.answer();
    };
    this.events.job({ id: 'job-1', body: Buffer.from(body), failures: 0, deliveries: 1, settle, ...delivery });
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

export class ScriptedJobs implements JobQueues {
  readonly enqueued: StoredJob[] = [];
  readonly consumptions: ScriptedConsumption[] = [];
  /** What enqueueing comes to. */
  enqueueing: () => Promise<void> = () => Promise.resolve();
  /** What asking for jobs comes to, before it is granted. */
  consuming: () => Promise<void> = () => Promise.resolve();

  enqueue(_queue: string, job: StoredJob): Promise<void> {
    this.enqueued.push(job);
    return this.enqueueing();
  }

  async consume(queue: string, events: ConsumeEvents, options: ConsumeOptions): Promise<Consumption> {
    const consumption = new ScriptedConsumption(queue, events, options);
    this.consumptions.push(consumption);
    await this.consuming();
    return consumption;
  }

  async stats(): Promise<QueueStats> {
    return { waiting: 0, delayed: 0, dead: 0 };
  }

  async dead(): Promise<DeadJob[]> {
    return [];
  }

  async replay(): Promise<number> {
    return 0;
  }

  async purge(): Promise<number> {
    return 0;
  }
}
