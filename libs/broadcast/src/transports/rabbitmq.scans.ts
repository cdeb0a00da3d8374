/*
 * Reading a stream between two offsets, for one room or several: whoever asks while a scan is under way shares the next,
 * with those who ask for what is near.
 */
import type { Channel as AmqpChannel, ConsumeMessage } from 'amqplib';
import { deadline } from '../deadline.js';
import { BroadcastError, toError } from '../errors.js';
import { Deliveries } from './rabbitmq.deliveries.js';
import { offset } from './rabbitmq.entries.js';

export interface ScanRequest {
  /** Routing key of the messages that are wanted. */
  readonly key: string;
  /** Offset of the first message, and of the last. */
  readonly start: number;
  readonly end: number;
  readonly limit: number;
}

export interface Scanned {
  /** The message at the start or the first one after it, whatever its key. */
  readonly first?: ConsumeMessage;
  readonly messages: ConsumeMessage[];
  /** Whether something was cut under the scan: these are not all. */
  readonly skipped: boolean;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Those that one scan is for. */
interface Group extends Range {
  end: number;
  readonly together: Waiting[];
}

interface Waiting extends ScanRequest {
  first?: ConsumeMessage;
  readonly messages: ConsumeMessage[];
  skipped: boolean;
  done(): void;
  fail(error: unknown): void;
}

/** Messages on their way to a scan: 43,900 a second were read so, with acknowledgements in batches (RabbitMQ 3.10). */
const PREFETCH = 1_000;
/** The longest scan, in ms: its end may have been deleted, or the broker have ended. */
const TIMEOUT = 20_000;
/** Offsets between what two want, up to which one scan is for both: a scan of its own takes about as long as reading these. */
const NEAR = 1_000;
/** Scans at once, each over a channel of its own. */
const AT_ONCE = 4;
/** Offsets that are looked through for the last messages of a room, at first. */
const STEP = 2_000;
/** Then at most so many times as many; fewer where the room's share of what was read says that these will do. */
const GROWTH = 16;
/** More than these are not looked through: what is behind them is told to be missing. 43,900 a second are read at best. */
export const FARTHEST = 100_000;

export class StreamScans {
  readonly #channel: () => Promise<AmqpChannel>;
  readonly #queue: string;
  readonly #failed: (cause: Error) => void;
  #waiting: Waiting[] = [];
  readonly #running = new Set<Group>();
  #asked = false;

  constructor(channel: () => Promise<AmqpChannel>, queue: string, failed: (cause: Error) => void) {
    this.#channel = channel;
    this.#queue = queue;
    this.#failed = failed;
  }

  scan(request: ScanRequest): Promise<Scanned> {
    return new Promise((resolve, reject) => {
      const messages: ConsumeMessage[] = [];
      const waiting: Waiting = {
        ...request,
        messages,
        skipped: false,
        done: () => resolve({ first: waiting.first, messages, skipped: waiting.skipped }),
        fail: reject,
      };
      this.#waiting.push(waiting);
      // Those who ask in the same turn share a scan.
      if (this.#asked) return;
      this.#asked = true;
      setImmediate(() => {
        this.#asked = false;
        this.#next();
      });
    });
  }

  /** The last messages between two offsets, oldest first, and whether there may be more than were looked for. */
  async scanBack({
    key,
    start: farthest,
    end,
    limit,
    keep,
  }: ScanRequest & { keep: (messages: readonly ConsumeMessage[]) => ConsumeMessage[] }): Promise<{
    messages: ConsumeMessage[];
    more: boolean;
  }> {
    let messages: ConsumeMessage[] = [];
    let last = end;
    let step = Math.max(STEP, limit);
    while (last >= Math.max(0, farthest) && messages.length < limit) {
      const start = Math.max(0, farthest, last - step + 1);
      const scanned = await this.scan({ key, start, end: last, limit: Infinity });
      // What is older than what was cut meanwhile is not kept any more either.
      if (scanned.skipped) return { messages: messages.slice(-limit), more: false };
      messages = keep([...scanned.messages, ...messages]);
      // A quarter more than it takes where the room has the same share of what is before.
      const needed = (1.25 * (end - start + 1) * (limit - messages.length)) / messages.length;
      step = Math.ceil(Math.max(STEP, Math.min(needed, step * GROWTH)));
      last = start - 1;
      // Behind the first one nothing is kept any more.
      if (!scanned.first || offset(scanned.first) > start) last = -1;
    }
    return { messages: messages.slice(-limit), more: last >= 0 };
  }

  /** Begins what may be begun: a part of the stream is not read twice at once, those who come meanwhile share the next scan. */
  #next(): void {
    for (const group of groups(this.#waiting)) {
      if (this.#running.size >= AT_ONCE) return;
      if ([...this.#running].some((running) => isNear(running, group))) continue;
      this.#running.add(group);
      const served = new Set(group.together);
      this.#waiting = this.#waiting.filter((each) => !served.has(each));
      void this.#serve(group).finally(() => {
        this.#running.delete(group);
        this.#next();
      });
    }
  }

  async #serve({ together }: Group): Promise<void> {
    try {
      await this.#through(together);
      for (const each of together) each.done();
    } catch (error) {
      // What a link that ends says of its channels is nobody's mistake.
      const cause = toError(error);
      const lost = () => new BroadcastError('UNAVAILABLE', `the log cannot be read: ${cause.message}`, { cause });
      for (const each of together) each.fail(error instanceof BroadcastError ? error : lost());
    }
  }

  async #through(together: readonly Waiting[]): Promise<void> {
    const start = Math.max(0, Math.min(...together.map((each) => each.start)));
    const end = Math.max(...together.map((each) => each.end));
    if (end < start) return;
    const byKey = new Map<string, Waiting[]>();
    for (const each of together) byKey.set(each.key, [...(byKey.get(each.key) ?? []), each]);
    const channel = await this.#channel();
    await channel.prefetch(PREFETCH);
    const deliveries = new Deliveries(channel, this.#failed);
    let open = together.length;
    let previous: number | undefined;
    let pending = together.filter((each) => !each.first);
    const scanning = new Promise<void>((resolve, reject) => {
      const receive = (message: ConsumeMessage) => {
        const at = offset(message);
        if (previous !== undefined && isSkip(previous, at)) {
          for (const each of together) each.skipped ||= each.start < at && previous < each.end;
        }
        previous = at;
        if (pending.length > 0) {
          for (const each of pending) if (at >= each.start) each.first = message;
          pending = pending.filter((each) => !each.first);
        }
        for (const each of byKey.get(message.fields.routingKey) ?? []) {
          if (at < each.start || at > each.end || each.messages.length >= each.limit) continue;
          each.messages.push(message);
          if (each.messages.length === each.limit) open--;
        }
        if (at >= end || open === 0) {
          deliveries.end();
          resolve();
        }
      };
      channel
        .consume(
          this.#queue,
          (message) => {
            if (message) deliveries.take(message, () => receive(message));
            else reject(new BroadcastError('UNAVAILABLE', 'the stream has been deleted'));
          },
          { arguments: { 'x-stream-offset': start } },
        )
        .catch(reject);
      channel.on('close', () => reject(new BroadcastError('UNAVAILABLE', 'the link was lost')));
    });
    try {
      await deadline(scanning, TIMEOUT, 'reading the log');
    } finally {
      deliveries.end();
      // The consumer goes with it, or it would read on for nobody.
      await channel.close().catch(() => undefined);
    }
  }
}

/** Those that one scan is for, who waited longest first. */
function groups(all: readonly Waiting[]): Group[] {
  const found: Group[] = [];
  for (const each of [...all].sort((one, other) => one.start - other.start)) {
    const last = found.at(-1);
    if (last && isNear(last, each)) {
      last.together.push(each);
      last.end = Math.max(last.end, each.end);
    } else found.push({ start: each.start, end: each.end, together: [each] });
  }
  const since = new Map(all.map((each, index) => [each, index]));
  const first = ({ together }: Group) => Math.min(...together.map((each) => since.get(each)!));
  return found.sort((one, other) => first(one) - first(other));
}

function isNear(one: Range, other: Range): boolean {
  return one.start <= other.end + NEAR && other.start <= one.end + NEAR;
}

/** Whether messages are missing between two offsets. A segment may begin with one that is the stream's own, which nobody hears. */
export function isSkip(last: number, next: number): boolean {
  return next - last > 2;
}
