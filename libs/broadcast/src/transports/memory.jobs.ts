/*
 * Jobs inside the process: lists, and a timer for what waits for its time. Gone with the process.
 */
import { setImmediate } from 'node:timers';
import type {
  ConsumeEvents,
  ConsumeOptions,
  Consumption,
  DeadJob,
  DeadSelection,
  EnqueueOptions,
  JobQueues,
  Outcome,
  QueueStats,
  StoredJob,
} from '../job-queues.js';

/** The same for all links to one `memory()`. */
export type MemoryQueues = Map<string, MemoryQueue>;

/** As long as the others remember an id that the caller chose, in ms. */
const ONCE = 5 * 60_000;

interface Entry extends StoredJob {
  readonly failures: number;
  readonly progress?: string;
  deliveries: number;
}

interface Worker {
  free: number;
  take(entry: Entry): void;
}

class MemoryQueue {
  readonly waiting: Entry[] = [];
  readonly delayed = new Set<Entry>();
  readonly workers = new Set<Worker>();
  readonly seen = new Map<string, number>();
  dead: DeadJob[] = [];
  running = 0;
  #next = 0;

  /** In a later turn, as over a network. */
  put(entry: Entry, delay = 0): void {
    if (delay > 0) {
      this.delayed.add(entry);
      setTimeout(() => {
        this.delayed.delete(entry);
        this.put(entry);
      }, delay).unref();
      return;
    }
    this.waiting.push(entry);
    this.handOut();
  }

  handOut(): void {
    setImmediate(() => {
      for (let entry = this.waiting[0]; entry; entry = this.waiting[0]) {
        const workers = [...this.workers].filter(({ free }) => free > 0);
        const worker = workers[this.#next++ % workers.length];
        if (!worker) return;
        this.waiting.shift();
        this.running++;
        worker.take(entry);
      }
    });
  }

  /** Whether an id that the caller chose is new. */
  isNew(id: string): boolean {
    const now = Date.now();
    for (const [old, at] of this.seen) if (now - at > ONCE) this.seen.delete(old);
    if (this.seen.has(id)) return false;
    this.seen.set(id, now);
    return true;
  }
}

export class MemoryJobs implements JobQueues {
  readonly #queues: MemoryQueues;
  readonly #consumptions = new Set<MemoryConsumption>();

  constructor(queues: MemoryQueues) {
    this.#queues = queues;
  }

  async enqueue(queue: string, { id, body }: StoredJob, { delay, once }: EnqueueOptions): Promise<void> {
    const target = this.#queue(queue);
    if (once && !target.isNew(id)) return;
    target.put({ id, body, failures: 0, deliveries: 0 }, delay);
  }

  async consume(queue: string, events: ConsumeEvents, { concurrency }: ConsumeOptions): Promise<Consumption> {
    const consumption = new MemoryConsumption(this.#queue(queue), events, concurrency);
    this.#consumptions.add(consumption);
    return consumption;
  }

  async stats(queue: string): Promise<QueueStats> {
    const { waiting, running, delayed, dead } = this.#queue(queue);
    return { waiting: waiting.length, running, delayed: delayed.size, dead: dead.length };
  }

  async dead(queue: string, selection: DeadSelection): Promise<DeadJob[]> {
    return select(this.#queue(queue).dead, selection);
  }

  async replay(queue: string, selection: DeadSelection): Promise<number> {
    const taken = this.#take(queue, selection);
    for (const { id, body } of taken) this.#queue(queue).put({ id, body, failures: 0, deliveries: 0 });
    return taken.length;
  }

  async purge(queue: string, selection: DeadSelection): Promise<number> {
    return this.#take(queue, selection).length;
  }

  /** The link is closed: what it has not settled is delivered again. */
  close(): void {
    for (const consumption of this.#consumptions) void consumption.close();
  }

  #take(queue: string, selection: DeadSelection): DeadJob[] {
    const target = this.#queue(queue);
    const taken = new Set(select(target.dead, selection));
    target.dead = target.dead.filter((job) => !taken.has(job));
    return [...taken];
  }

  #queue(name: string): MemoryQueue {
    const queue = this.#queues.get(name) ?? new MemoryQueue();
    this.#queues.set(name, queue);
    return queue;
  }
}

class MemoryConsumption implements Consumption, Worker {
  readonly #queue: MemoryQueue;
  readonly #events: ConsumeEvents;
  readonly #unsettled = new Set<Entry>();
  free: number;

  constructor(queue: MemoryQueue, events: ConsumeEvents, concurrency: number) {
    this.#queue = queue;
    this.#events = events;
    this.free = concurrency;
    queue.workers.add(this);
    queue.handOut();
  }

  take(entry: Entry): void {
    this.free--;
    entry.deliveries++;
    this.#unsettled.add(entry);
    const { id, body, failures, progress, deliveries } = entry;
    const settle = async (outcome: Outcome) => {
      if (!this.#unsettled.delete(entry)) return;
      this.#queue.running--;
      this.#settle(entry, outcome);
      this.free++;
      this.#queue.handOut();
    };
    this.#events.job({ id, body, failures, progress, deliveries, settle });
  }

  async stop(): Promise<void> {
    this.#queue.workers.delete(this);
  }

  async close(): Promise<void> {
    this.#queue.workers.delete(this);
    for (const entry of this.#unsettled) {
      this.#queue.running--;
      this.#queue.put(entry);
    }
    this.#unsettled.clear();
  }

  #settle({ id, body, progress }: Entry, outcome: Outcome): void {
    switch (outcome.kind) {
      case 'done':
        return;
      case 'retry':
        return this.#queue.put({ id, body, progress, failures: outcome.failures, deliveries: 0 }, outcome.delay);
      case 'continue':
        return this.#queue.put({ id, body, progress: outcome.progress, failures: 0, deliveries: 0 });
      case 'dead': {
        const { reason, attempts, error } = outcome;
        this.#queue.dead.push({ id, body, reason, attempts, error, at: Date.now() });
        return;
      }
    }
  }
}

function select(dead: readonly DeadJob[], { id, limit }: DeadSelection): DeadJob[] {
  return dead.filter((job) => id === undefined || job.id === id).slice(0, limit);
}
