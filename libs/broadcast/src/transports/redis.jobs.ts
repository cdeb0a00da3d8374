/*
 * Jobs on Redis: a stream with a group of workers, a sorted set of what waits for its time, a stream of dead letters. An
 * entry is deleted when its job is settled. A worker says every third of the lease that it is still at it; what nobody
 * has spoken for since the lease goes to another one.
 */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { deadline, pause } from '../deadline.js';
import { BroadcastError, toError } from '../errors.js';
import { idInside } from '../job.js';
import {
  countOf,
  type ConsumeEvents,
  type ConsumeOptions,
  type Consumption,
  type DeadJob,
  type DeadSelection,
  type EnqueueOptions,
  type JobQueues,
  type Outcome,
  type QueueStats,
  type StoredJob,
} from '../job-queues.js';
import { AGAIN, DEAD, DONE, ENQUEUE, GROUP, REPLAY, STATS, TICK, TIDY } from './redis.jobs.scripts.js';
import type { Script, ScriptArgs } from './redis.script.js';

/** How long an id that the caller chose is remembered, in ms. */
const ONCE = 5 * 60_000;
/** The longest that a worker waits at Redis before it looks for due and stale jobs, in ms. */
const TURN = 250;
/** Deadline of what a worker asks while it waits for jobs, in ms: TURN, and what a slow line may take. */
const ANSWER = 5_000;
/** Workers that have nothing and were last heard of so long ago, in ms, are forgotten. */
const FORGOTTEN = 3_600_000;
/** Dead letters that are read at a time. */
const PAGE = 200;

/** What the link has to offer. */
export interface RedisJobsLink {
  /** For everything that Redis answers at once. */
  readonly commands: Redis;
  readonly prefix: string;
  readonly instance: string;
  /** A connection to wait on; its end is the end of the link. */
  connect(): Promise<Redis>;
}

type Fields = Map<string, Buffer>;
type Entry = [id: Buffer, fields: Buffer[]];

export class RedisJobs implements JobQueues {
  readonly #link: RedisJobsLink;

  constructor(link: RedisJobsLink) {
    this.#link = link;
  }

  async enqueue(queue: string, { id, body }: StoredJob, { delay, once }: EnqueueOptions): Promise<void> {
    await this.#run(ENQUEUE, queue, [delay, once ? ONCE : 0, ...fields({ id, job: body })], id);
  }

  async consume(queue: string, events: ConsumeEvents, options: ConsumeOptions): Promise<Consumption> {
    const consumption = new RedisConsumption(queue, this.#link, events, options);
    await consumption.open();
    return consumption;
  }

  async stats(queue: string): Promise<QueueStats> {
    const [waiting, running, delayed, dead] = (await this.#run(STATS, queue)) as [number, number, number, number];
    return { waiting, running, delayed, dead };
  }

  async dead(queue: string, selection: DeadSelection): Promise<DeadJob[]> {
    const dead: DeadJob[] = [];
    for await (const [entry, letter] of this.#letters(queue, selection)) dead.push(deadJob(entry, letter));
    return dead;
  }

  async replay(queue: string, selection: DeadSelection): Promise<number> {
    let count = 0;
    for await (const [entry, letter] of this.#letters(queue, selection)) {
      const again = fields({ id: letter.get('id') ?? entry, job: letter.get('job') ?? '' });
      count += (await this.#run(REPLAY, queue, [entry, ...again])) as number;
    }
    return count;
  }

  async purge(queue: string, selection: DeadSelection): Promise<number> {
    let count = 0;
    const { dead } = keysOf(queue, this.#link.prefix);
    for await (const [entry] of this.#letters(queue, selection)) count += await this.#link.commands.xdel(dead, entry);
    return count;
  }

  /** The chosen ones of those that are there now, the oldest first, a page at a time. */
  async *#letters(queue: string, { id, limit = Infinity }: DeadSelection): AsyncGenerator<[string, Fields]> {
    const { dead } = keysOf(queue, this.#link.prefix);
    const { commands } = this.#link;
    const [newest] = await commands.xrevrangeBuffer(dead, '+', '-', 'COUNT', 1);
    const last = newest?.[0];
    let given = 0;
    for (let from = '-'; last && given < limit;) {
      const page = await commands.xrangeBuffer(dead, from, last, 'COUNT', PAGE);
      if (page.length === 0) return;
      for (const [entry, list] of page) {
        from = `(${entry.toString()}`;
        const letter = read(list);
        if (id !== undefined && idOf(entry.toString(), letter) !== id) continue;
        yield [entry.toString(), letter];
        if (++given >= limit) return;
      }
    }
  }

  #run(script: Script, queue: string, args: ScriptArgs = [], id = ''): Promise<unknown> {
    return run(this.#link.commands, script, keysOf(queue, this.#link.prefix, id), args);
  }
}

/** One queue on one link, for as long as both last. */
class RedisConsumption implements Consumption {
  readonly #link: RedisJobsLink;
  readonly #events: ConsumeEvents;
  readonly #options: ConsumeOptions;
  readonly #keys: Keys;
  /** As the group knows this worker: what an earlier one of the same instance left behind is not its own. */
  readonly #name: string;
  /** What was taken and is not settled. */
  readonly #held = new Set<string>();
  readonly #stopping = new AbortController();
  #waiter?: Redis;
  #settled?: () => void;
  #cursor = '0-0';
  #ticked = 0;
  #renewed = performance.now();
  #next = -1;
  #loop: Promise<void> = Promise.resolve();

  constructor(queue: string, link: RedisJobsLink, events: ConsumeEvents, options: ConsumeOptions) {
    this.#link = link;
    this.#events = events;
    this.#options = options;
    this.#keys = keysOf(queue, link.prefix);
    this.#name = `${link.instance}.${randomBytes(4).toString('hex')}`;
  }

  async open(): Promise<void> {
    this.#waiter = await this.#link.connect();
    try {
      await this.#makeGroup();
      await this.#run(TIDY, [FORGOTTEN, '']);
    } catch (error) {
      this.#leave();
      throw error;
    }
    this.#loop = this.#work().catch((error: unknown) => this.#events.lost(toError(error)));
  }

  /** Waits for what is being asked: a job that Redis hands out at this moment still arrives, and can be settled. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    const waiter = this.#waiter;
    if (waiter?.status === 'ready') {
      // One that has nothing leaves no trace; what another one has is taken over after the lease.
      await deadline(
        this.#loop.then(() => this.#run(TIDY, [FORGOTTEN, this.#name])),
        ANSWER,
        'leaving',
      ).catch(() => undefined);
    }
    this.#leave();
  }

  /** Without being taken for a connection that was lost. */
  #leave(): void {
    this.#waiter?.removeAllListeners('close');
    this.#waiter?.disconnect();
    this.#waiter?.stream?.destroy();
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (performance.now() - this.#ticked >= Math.min(TURN, this.#next < 0 ? TURN : this.#next)) await this.#tick();
        if (this.#free > 0) await this.#read();
        else await this.#room();
      } catch (error) {
        // Somebody has emptied Redis, or it came back without its data.
        if (!/NOGROUP/.test(toError(error).message)) throw error;
        await this.#makeGroup();
      }
    }
  }

  get #free(): number {
    return this.#options.concurrency - this.#held.size;
  }

  /** Moves what is due, says that this worker is still at it, and takes over what nobody else is at any more. */
  async #tick(): Promise<void> {
    const { lease } = this.#options;
    this.#ticked = performance.now();
    const renew = this.#ticked - this.#renewed >= lease / 3;
    if (renew) this.#renewed = this.#ticked;
    const args = [this.#name, lease, this.#cursor, Math.max(0, this.#free), ...(renew ? this.#held : [])];
    const [cursor, taken, next] = (await this.#run(TICK, args)) as [Buffer, [...Entry, number][], number];
    this.#cursor = cursor.toString();
    this.#next = next;
    for (const [entry, list, deliveries] of taken) this.#deliver(entry.toString(), read(list), deliveries);
  }

  async #read(): Promise<void> {
    const wait = Math.max(1, Math.min(TURN, this.#next < 0 ? TURN : this.#next));
    const group = ['XREADGROUP', 'GROUP', GROUP, this.#name, 'COUNT', this.#free, 'BLOCK', wait] as const;
    const [command, ...args] = [...group, 'STREAMS', this.#keys.stream, '>'] as const;
    const answer = await deadline(this.#waiter!.callBuffer(command, ...args), ANSWER, 'waiting for jobs');
    if (!Array.isArray(answer)) return;
    // RESP3 answers with a map, which arrives as [key, entries]; RESP2 with a list of such pairs.
    const pair = (Array.isArray(answer[0]) ? answer[0] : answer) as [Buffer, Entry[]];
    for (const [entry, list] of pair[1]) this.#deliver(entry.toString(), read(list), 1);
  }

  /** Until a job is settled, or it is time for the next tick. */
  async #room(): Promise<void> {
    const settled = new AbortController();
    this.#settled = () => settled.abort();
    await pause(TURN, AbortSignal.any([settled.signal, this.#stopping.signal]));
  }

  #deliver(entry: string, stored: Fields, deliveries: number): void {
    const id = idOf(entry, stored);
    const body = stored.get('job') ?? Buffer.alloc(0);
    const progress = stored.get('progress')?.toString();
    this.#held.add(entry);
    this.#events.job({
      ...{ id, body, deliveries, progress },
      failures: countOf(Number(stored.get('failures') ?? 0)),
      settle: (outcome) => this.#settle(entry, { id, job: body, progress }, outcome),
    });
  }

  async #settle(
    entry: string,
    { progress, ...job }: { id: string; job: Buffer; progress?: string },
    outcome: Outcome,
  ): Promise<void> {
    try {
      switch (outcome.kind) {
        case 'done':
          return void (await this.#run(DONE, [entry]));
        case 'retry': {
          const { delay, failures, error } = outcome;
          const again = { ...job, failures, error, ...(progress !== undefined && { progress }) };
          return void (await this.#run(AGAIN, [entry, this.#name, delay, ...fields(again)]));
        }
        case 'continue': {
          const again = { ...job, progress: outcome.progress };
          return void (await this.#run(AGAIN, [entry, this.#name, 0, ...fields(again)]));
        }
        case 'dead': {
          const { reason, attempts, error } = outcome;
          const letter = { ...job, reason, attempts, error, at: Date.now() };
          return void (await this.#run(DEAD, [entry, this.#name, ...fields(letter)]));
        }
      }
    } finally {
      this.#held.delete(entry);
      this.#settled?.();
    }
  }

  /** From the beginning: what is in the stream and not settled is handed out again rather than forgotten. */
  async #makeGroup(): Promise<void> {
    const { commands } = this.#link;
    await commands.xgroup('CREATE', this.#keys.stream, GROUP, '0', 'MKSTREAM').catch((error: unknown) => {
      if (!/BUSYGROUP/.test(toError(error).message)) throw refusal(error, this.#keys.stream);
    });
  }

  #run(script: Script, args: ScriptArgs): Promise<unknown> {
    return deadline(run(this.#link.commands, script, this.#keys, args), ANSWER, 'a script of the jobs');
  }
}

interface Keys {
  readonly stream: string;
  readonly delayed: string;
  readonly dead: string;
  readonly mark: string;
}

/** The hash tag keeps them in one slot. */
function keysOf(queue: string, prefix: string, id = ''): Keys {
  const stream = `${prefix}roomcast:jobs:{${queue}}`;
  return { stream, delayed: `${stream}:delayed`, dead: `${stream}:dead`, mark: `${stream}:id:${id}` };
}

async function run(
  redis: Redis,
  script: Script,
  { stream, delayed, dead, mark }: Keys,
  args: ScriptArgs,
): Promise<unknown> {
  try {
    return await script.run(redis, [stream, delayed, dead, mark], args);
  } catch (error) {
    throw refusal(error, stream);
  }
}

/** What Redis refuses was not done: a key of another kind, a full memory. */
function refusal(error: unknown, stream: string): Error {
  const { message } = toError(error);
  if (!/WRONGTYPE|OOM|READONLY|MISCONF|NOPERM/.test(message)) return toError(error);
  const code = /WRONGTYPE/.test(message) ? 'BAD_REQUEST' : 'UNAVAILABLE';
  return new BroadcastError(code, `Redis refuses work on ${stream}: ${message}`, { cause: error });
}

function fields(of: Record<string, string | number | Buffer>): (string | Buffer)[] {
  return Object.entries(of).flatMap(([name, value]) => [name, typeof value === 'number' ? String(value) : value]);
}

function read(list: readonly Buffer[]): Fields {
  const stored: Fields = new Map();
  for (let i = 0; i + 1 < list.length; i += 2) stored.set(list[i]!.toString(), list[i + 1]!);
  return stored;
}

/** What its sender called it, or else the entry in which it came first. */
function idOf(entry: string, stored: Fields): string {
  return idInside(stored.get('job') ?? Buffer.alloc(0)) ?? (stored.get('id')?.toString() || entry);
}

function deadJob(entry: string, letter: Fields): DeadJob {
  const text = (name: string) => letter.get(name)?.toString() ?? '';
  return {
    id: idOf(entry, letter),
    body: letter.get('job') ?? Buffer.alloc(0),
    reason: text('reason'),
    attempts: countOf(Number(text('attempts'))),
    error: text('error'),
    at: countOf(Number(text('at'))),
  };
}
