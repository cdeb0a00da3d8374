/*
 * Jobs on RabbitMQ: a quorum queue; one more for each delay, from which jobs return when their time has come; and one of
 * dead letters. What changes a job (a retry, a part that is done) publishes the new form, waits for the confirm, and
 * then acknowledges the old one: a worker that dies in between leaves two, never none.
 *
 * A queue that is refused or deleted closes a channel at the broker, so jobs have channels of their own, made when they
 * are needed and made again after they were closed.
 */
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { deadline } from '../deadline.js';
import { BroadcastError, toError } from '../errors.js';
import { idInside, isJobId } from '../job.js';
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
import { ulid } from '../ulid.js';
import { acknowledge, look, takeAway } from './rabbitmq.letters.js';

/**
 * A second line behind the attempts that the library counts: after so many deliveries the broker itself gives a job up.
 * Part of the queue's declaration, so the same for everyone.
 */
const DELIVERY_LIMIT = 20;
/** Looking at dead letters counts as delivering them, and RabbitMQ 4 has a limit of 20 where none is given. */
const NO_LIMIT = 1_000_000;
/** Delays are made of powers of two, in ms, from one second to 18 hours: 17 queues for all of them. */
const STEP = 1_000;
const STEPS = 17;
/** A delay that is over but for so many ms is over. */
const SOON = 100;
const CLOSE_TIMEOUT = 1_000;
/** Commands that a channel of the broker passes on without waiting for the queue: see rabbitmq.letters.ts. */
const AT_ONCE = 30;

/** Headers of a job's message, all of them optional. */
const FAILURES = 'x-failures';
const ERROR = 'x-error';
const PROGRESS = 'x-progress';
/** Ms since 1970 before which nobody may have it. */
const DUE = 'x-due';
const REASON = 'x-reason';
const ATTEMPTS = 'x-attempts';
const AT = 'x-at';

export function jobNames(prefix: string, queue: string) {
  const work = `${prefix}live_rooms.jobs.${queue}`;
  return { work, dead: `${work}.dead`, retry: (ms: number) => `${work}.retry.${ms}` };
}

type Names = ReturnType<typeof jobNames>;

export class RabbitmqJobs implements JobQueues {
  readonly #consuming: ChannelModel;
  readonly #prefix: string;
  readonly #publisher: Remade;
  /** Queues that are known to be there, by name. */
  readonly #declared = new Map<string, Promise<unknown>>();
  /** What the broker could not route, until its confirm comes. */
  readonly #returned = new Map<string, number>();

  constructor(publishing: ChannelModel, consuming: ChannelModel, prefix: string) {
    this.#consuming = consuming;
    this.#prefix = prefix;
    this.#publisher = new Remade(async () => {
      const channel = await publishing.createConfirmChannel();
      channel.on('return', ({ fields, properties }) => {
        const key = keyOf(fields.routingKey, properties.messageId);
        this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1);
      });
      return channel;
    });
  }

  async enqueue(queue: string, { id, body }: StoredJob, { delay }: EnqueueOptions): Promise<void> {
    await this.put(queue, body, { messageId: id, headers: {} }, delay > 0 ? Date.now() + delay : undefined);
  }

  async consume(queue: string, events: ConsumeEvents, options: ConsumeOptions): Promise<Consumption> {
    await this.declare(this.names(queue));
    const consumption = new RabbitmqConsumption(queue, this, events);
    await consumption.open(await this.#consuming.createChannel(), options);
    return consumption;
  }

  async stats(queue: string, delays: readonly number[]): Promise<QueueStats> {
    const names = this.names(queue);
    const steps = Array.from({ length: STEPS }, (_, i) => STEP * 2 ** i);
    let delayed = 0;
    for (const ms of new Set([...delays, ...steps])) delayed += await this.#count(names.retry(ms));
    return { waiting: await this.#count(names.work), delayed, dead: await this.#count(names.dead) };
  }

  async dead(queue: string, selection: DeadSelection): Promise<DeadJob[]> {
    return (await this.#chosen(queue, selection, async () => undefined)).map(deadJob);
  }

  async replay(queue: string, selection: DeadSelection): Promise<number> {
    // The broker takes many at a time, and keeps the order in which they were sent.
    const again = (letters: readonly ConsumeMessage[]) =>
      Promise.all(
        letters.map((letter) => {
          const headers = foreignHeaders(letter.properties.headers);
          return this.put(queue, letter.content, { messageId: nameOf(letter) ?? ulid(), headers });
        }),
      );
    return this.#takeAway(queue, selection, again);
  }

  async purge(queue: string, selection: DeadSelection): Promise<number> {
    return this.#takeAway(queue, selection, async () => undefined);
  }

  names(queue: string): Names {
    return jobNames(this.#prefix, queue);
  }

  /** Resolves when the broker has it in the queue, or in the one where it waits for its time. */
  async put(
    queue: string,
    body: Buffer,
    { messageId, headers }: { messageId: string; headers: Record<string, unknown> },
    due?: number,
  ): Promise<void> {
    const names = this.names(queue);
    await this.declare(names);
    const left = due === undefined ? 0 : due - Date.now();
    if (left <= SOON) return this.send(names.work, body, { messageId, headers });
    const step = STEP * 2 ** Math.min(STEPS - 1, Math.max(0, Math.floor(Math.log2(left / STEP))));
    await this.park(names, step, body, { messageId, headers: { ...headers, [DUE]: due } });
  }

  /** Puts it where it waits `ms`, and then returns to its queue. */
  async park(names: Names, ms: number, body: Buffer, properties: Options.Publish): Promise<void> {
    await this.#declareOnce(names.retry(ms), {
      'x-message-ttl': ms,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': names.work,
      ...KEEPS,
    });
    await this.send(names.retry(ms), body, properties);
  }

  /** The queue and that of its dead letters. */
  async declare(names: Names): Promise<void> {
    await this.#declareOnce(names.dead, { 'x-delivery-limit': NO_LIMIT });
    await this.#declareOnce(names.work, {
      'x-delivery-limit': DELIVERY_LIMIT,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': names.dead,
      ...KEEPS,
    });
  }

  /** Resolves when the broker has confirmed that it is in this queue. */
  async send(name: string, body: Buffer, properties: Options.Publish): Promise<void> {
    const channel = await this.#publisher.get();
    const options = { ...properties, persistent: true, mandatory: true, contentType: 'application/json' };
    const key = keyOf(name, properties.messageId);
    return new Promise((resolve, reject) => {
      const fail = (code: 'UNAVAILABLE' | 'UNCERTAIN' | 'BAD_REQUEST', why: string, cause?: unknown) =>
        reject(new BroadcastError(code, `a job for ${name}: ${why}`, { cause }));
      const settle = (refusal: unknown) => {
        const returned = this.#returned.get(key) ?? 0;
        if (refusal) return fail('UNCERTAIN', 'the broker did not confirm it; it may have arrived', refusal);
        if (returned === 0) return resolve();
        if (returned === 1) this.#returned.delete(key);
        else this.#returned.set(key, returned - 1);
        // Somebody has deleted the queue, or the broker is just starting.
        this.#declared.delete(name);
        fail('UNAVAILABLE', 'the queue is not there; nothing was sent');
      };
      try {
        channel.publish('', name, body, options, settle);
      } catch (thrown) {
        if (toError(thrown).name === 'IllegalOperationError') return fail('UNAVAILABLE', 'the link has ended', thrown);
        // It counts as sent for the client, which takes the next confirm for its own: that channel is of no use any more.
        channel.close().catch(() => undefined);
        fail('BAD_REQUEST', `AMQP cannot carry it: ${toError(thrown).message}`, thrown);
      }
    });
  }

  /** The queue was deleted: it is declared again when it is needed. */
  forget({ work, dead }: Names): void {
    this.#declared.delete(work);
    this.#declared.delete(dead);
  }

  #declareOnce(name: string, more: Record<string, unknown>): Promise<unknown> {
    const known = this.#declared.get(name);
    if (known) return known;
    const declaring = this.#aside((channel) =>
      channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum', ...more } }),
    ).catch((error: unknown) => {
      this.#declared.delete(name);
      throw refusal(error, name);
    });
    this.#declared.set(name, declaring);
    return declaring;
  }

  /** Messages that are ready in a queue; none in one that is not there. */
  async #count(name: string): Promise<number> {
    return (await this.#aside((channel) => channel.checkQueue(name)))?.messageCount ?? 0;
  }

  /** Resolves with how many letters are gone, each after it was used. */
  async #takeAway(
    queue: string,
    selection: DeadSelection,
    use: (letters: readonly ConsumeMessage[]) => Promise<unknown>,
  ): Promise<number> {
    const { dead } = this.names(queue);
    if (selection.id === undefined) {
      return (await this.#aside((channel) => takeAway(channel, dead, selection.limit ?? Infinity, use))) ?? 0;
    }
    const chosen = await this.#chosen(queue, selection, async (letters, channel) => {
      await use(letters);
      await acknowledge(channel, dead, letters);
      return true;
    });
    return chosen.length;
  }

  /** Looks at all letters, and has something done with the chosen ones before the others return: it says whether they are gone. */
  async #chosen(
    queue: string,
    { id, limit = Infinity }: DeadSelection,
    use: (letters: readonly ConsumeMessage[], channel: Channel) => Promise<true | undefined>,
  ): Promise<ConsumeMessage[]> {
    const { dead } = this.names(queue);
    const chosen: ConsumeMessage[] = [];
    const kept = await this.#aside(async (channel) => {
      const count = await look(channel, dead, (letter) => {
        if (chosen.length < limit && (id === undefined || idOf(letter) === id)) chosen.push(letter);
      });
      return (await use(chosen, channel)) ? count - chosen.length : count;
    });
    // They are back a moment later. Whoever looks next is to see them.
    const end = performance.now() + CLOSE_TIMEOUT;
    while (kept && performance.now() < end) if ((await this.#count(dead)) >= kept) break;
    return chosen;
  }

  /** On a channel of its own, which does not outlive it. `undefined` if the queue is not there. */
  async #aside<T>(use: (channel: Channel) => Promise<T>): Promise<T | undefined> {
    const channel = await this.#consuming.createChannel();
    channel.on('error', () => undefined); // told by the call that it was about
    try {
      const result = await use(channel);
      await channel.close();
      return result;
    } catch (error) {
      await channel.close().catch(() => undefined); // closed by the broker already, or with the link
      if (/NOT_FOUND|404/.test(toError(error).message)) return undefined;
      throw error;
    }
  }
}

/** One queue on one link, for as long as both last. */
class RabbitmqConsumption implements Consumption {
  readonly #queue: string;
  readonly #jobs: RabbitmqJobs;
  readonly #events: ConsumeEvents;
  /** What was delivered and is not acknowledged. */
  readonly #open = new Set<ConsumeMessage>();
  /** What is acknowledged when it is the last, or at the end. */
  readonly #last: ConsumeMessage[] = [];
  #channel!: Channel;
  #tag?: string;
  #stopping = false;
  #acked = 0;
  #closed = false;

  constructor(queue: string, jobs: RabbitmqJobs, events: ConsumeEvents) {
    this.#queue = queue;
    this.#jobs = jobs;
    this.#events = events;
  }

  async open(channel: Channel, { concurrency }: ConsumeOptions): Promise<void> {
    this.#channel = channel;
    const { work } = this.#jobs.names(this.#queue);
    let cause: Error | undefined;
    channel.on('error', (error: Error) => (cause = error));
    channel.on('close', () => this.#lost(explained(cause ?? new Error('the broker closed the channel'))));
    try {
      await channel.prefetch(concurrency);
      const { consumerTag } = await channel.consume(work, (message) => this.#receive(message));
      this.#tag = consumerTag;
    } catch (error) {
      await this.close();
      // A queue that has just been deleted is declared by the next try.
      this.#jobs.forget(this.#jobs.names(this.#queue));
      throw refusal(error, work);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#tag !== undefined && !this.#closed) await this.#channel.cancel(this.#tag);
    this.#tag = undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const closing = async () => {
      this.#ackLast();
      await this.#channel.close();
    };
    await deadline(closing(), CLOSE_TIMEOUT, 'closing').catch(() => undefined);
  }

  /**
   * The channel is closed soon after it has stopped, and takes with it what the broker's side of it has not passed on. So
   * what is more than that waits, until one command will do for all.
   */
  #ack(message: ConsumeMessage): void {
    this.#open.delete(message);
    if (!this.#stopping || this.#acked++ < AT_ONCE) return this.#channel.ack(message);
    this.#last.push(message);
    if (this.#open.size === 0) this.#ackLast();
  }

  #ackLast(): void {
    const last = this.#last.splice(0);
    if (last.length === 0) return;
    if (this.#open.size === 0) this.#channel.ackAll();
    else for (const message of last) this.#channel.ack(message);
  }

  #lost(cause: Error): void {
    if (!this.#closed) this.#events.lost(cause);
  }

  #receive(message: ConsumeMessage | null): void {
    if (message) {
      this.#take(message).catch((error: unknown) => this.#lost(toError(error)));
      return;
    }
    const names = this.#jobs.names(this.#queue);
    this.#jobs.forget(names);
    this.#lost(new Error(`the queue ${names.work} was deleted`));
  }

  async #take(message: ConsumeMessage): Promise<void> {
    this.#open.add(message);
    const headers = message.properties.headers ?? {};
    const due = countOf(headers[DUE]);
    const named = nameOf(message);
    if (due > Date.now() + SOON || named === undefined) {
      // Nobody has seen it yet. It needs a name first: a redelivery of this one could not be told from another message.
      const properties = { messageId: named ?? ulid(), headers: keptHeaders(headers) };
      await this.#jobs.put(this.#queue, message.content, properties, due || undefined);
      this.#ack(message);
      return;
    }
    const progress = textOf(headers[PROGRESS]);
    this.#events.job({
      id: named,
      body: message.content,
      failures: countOf(headers[FAILURES]),
      // RabbitMQ 4 counts deliveries apart from those that were refused.
      deliveries: 1 + Math.max(countOf(headers['x-delivery-count']), countOf(headers['x-acquired-count'])),
      ...(progress !== undefined && { progress }),
      settle: (outcome) => this.#settle(message, named, outcome),
    });
  }

  async #settle(message: ConsumeMessage, messageId: string, outcome: Outcome): Promise<void> {
    const names = this.#jobs.names(this.#queue);
    const { content, properties } = message;
    const kept = keptHeaders(properties.headers ?? {});
    switch (outcome.kind) {
      case 'done':
        break;
      case 'retry': {
        const { delay, failures, error } = outcome;
        const again = { messageId, headers: { ...kept, [FAILURES]: failures, [ERROR]: error } };
        if (delay > 0) await this.#jobs.park(names, delay, content, again);
        else await this.#jobs.put(this.#queue, content, again);
        break;
      }
      case 'continue': {
        const headers = { ...foreignHeaders(properties.headers), [PROGRESS]: outcome.progress };
        await this.#jobs.put(this.#queue, content, { messageId, headers });
        break;
      }
      case 'dead': {
        const { reason, attempts, error } = outcome;
        const headers = { ...kept, [REASON]: reason, [ATTEMPTS]: attempts, [ERROR]: error, [AT]: Date.now() };
        await this.#jobs.declare(names);
        await this.#jobs.send(names.dead, content, { messageId, headers });
        break;
      }
    }
    this.#ack(message);
  }
}

/** A channel that is made when it is needed, and again after it was closed. */
class Remade {
  readonly #make: () => Promise<ConfirmChannel>;
  #made?: Promise<ConfirmChannel>;

  constructor(make: () => Promise<ConfirmChannel>) {
    this.#make = make;
  }

  get(): Promise<ConfirmChannel> {
    return (this.#made ??= this.#open());
  }

  async #open(): Promise<ConfirmChannel> {
    try {
      const channel = await this.#make();
      channel.on('error', () => undefined); // told by the calls that were under way
      channel.on('close', () => (this.#made = undefined));
      return channel;
    } catch (cause) {
      this.#made = undefined;
      throw new BroadcastError('UNAVAILABLE', `no channel for jobs: ${toError(cause).message}`, { cause });
    }
  }
}

/** A message that expires or is given up is stored in the next queue before it leaves this one. */
const KEEPS = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' };

const OWN = [FAILURES, ERROR, PROGRESS, DUE, REASON, ATTEMPTS, AT];
const BROKERS = /^x-(death|first-death-.*|last-death-.*|delivery-count|acquired-count|opt-.*)$/;

/** Without what the broker adds, and without the time that has come. */
function keptHeaders(headers: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== DUE && !BROKERS.test(name)));
}

/** Only what the sender gave. */
function foreignHeaders(headers: Record<string, unknown> = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(keptHeaders(headers)).filter(([name]) => !OWN.includes(name)));
}

function deadJob(message: ConsumeMessage): DeadJob {
  const timestamp: unknown = message.properties.timestamp;
  const headers = message.properties.headers ?? {};
  const [death] = (Array.isArray(headers['x-death']) ? headers['x-death'] : []) as {
    reason?: string;
    time?: unknown;
  }[];
  const deathAt = countOf((death?.time as { value?: unknown } | undefined)?.value) * 1_000;
  return {
    id: idOf(message),
    body: message.content,
    reason: textOf(headers[REASON]) ?? death?.reason ?? '',
    attempts: countOf(headers[ATTEMPTS]) || countOf(headers[FAILURES]),
    error: textOf(headers[ERROR]) ?? '',
    at: countOf(headers[AT]) || deathAt || countOf(timestamp) * 1_000,
  };
}

function idOf(message: ConsumeMessage): string {
  return nameOf(message) ?? '';
}

/** What can be sent again: bytes that are no UTF-8 become more than they were. */
function nameOf({ content, properties }: ConsumeMessage): string | undefined {
  const messageId: unknown = properties.messageId;
  return idInside(content) ?? (isJobId(messageId) ? messageId : undefined);
}

function keyOf(routingKey: string, messageId: unknown): string {
  return `${routingKey} ${String(messageId)}`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A broker takes back what was not acknowledged for half an hour, with all else that its consumer has. */
function explained(cause: Error): Error {
  if (!/delivery acknowledgement .* timed out/.test(cause.message)) return cause;
  const advice = 'do it in parts, or give the queue a longer consumer_timeout (docs/jobs.md)';
  return new BroadcastError('UNAVAILABLE', `a job took too long for RabbitMQ, and is delivered again: ${advice}`, {
    cause,
  });
}

/** Says what to do about a queue that is there already, and different. */
function refusal(error: unknown, name: string): Error {
  const cause = toError(error);
  if (cause instanceof BroadcastError) return cause;
  if (!/PRECONDITION_FAILED|406|ACCESS_REFUSED|403/.test(cause.message)) {
    return new BroadcastError('UNAVAILABLE', `RabbitMQ did not declare the queue ${name}: ${cause.message}`, { cause });
  }
  const advice = 'delete it, or let Roomcast declare it (docs/protocol.md)';
  return new BroadcastError('BAD_REQUEST', `RabbitMQ refuses the queue ${name}: ${cause.message}; ${advice}`, {
    cause,
  });
}
