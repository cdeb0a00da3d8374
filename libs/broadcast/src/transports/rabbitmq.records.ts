/*
 * Records at RabbitMQ: a stream of their own, bound to nothing, in which the newest of each key counts. It has no age: it
 * is cut by its size alone, and long before that the newest of all are written once more, at its end.
 */
import type { Channel as AmqpChannel, ChannelModel, ConsumeMessage } from 'amqplib';
import { deadline } from '../deadline.js';
import { BroadcastError, toError } from '../errors.js';
import type { RecordStore, StoredRecord } from '../transport.js';
import { ulid } from '../ulid.js';
import { Deliveries } from './rabbitmq.deliveries.js';

/** Bytes of the stream, and of a part of it: it is cut by whole parts. */
const SIZE = 100_000_000;
const SEGMENT = 5_000_000;
/** Records in the stream, beyond twice those that count, above which it is written anew: at 1 KB each a tenth of it. */
const SLACK = 10_000;
/** Puts of this link after which it is looked at whether there are too many. */
const LOOK = 2_000;
/** Records that are written anew at a time. */
const BATCH = 200;
const PREFETCH = 1_000;
/** AMQP's answer to declaring something that is there with other properties. */
const PRECONDITION_FAILED = 406;
/** Longest reading, in ms. */
const TIMEOUT = 20_000;

export interface RecordsParts {
  /** Where the stream is declared: a refusal ends the channel, not the link. */
  connection: ChannelModel;
  /** Publishes to the queue, as mandatory. Resolves when it is confirmed, rejects when it is returned. */
  publish: (payload: Buffer, headers: object, id: string) => Promise<void>;
  /** A channel that ends the link when it fails. */
  channel: () => Promise<AmqpChannel>;
  failed: (cause: Error) => void;
}

export class RabbitmqRecords implements RecordStore {
  readonly #parts: RecordsParts;
  readonly #queue: string;
  #declared?: Promise<void>;
  #reading?: Promise<StoredRecord[]>;
  #puts = 0;

  constructor(parts: RecordsParts, queue: string) {
    this.#parts = parts;
    this.#queue = queue;
  }

  async put(record: StoredRecord): Promise<void> {
    await this.#declare();
    await this.#write(record);
    // Told by the next reading, if it fails again.
    if (++this.#puts % LOOK === 0) this.all().catch(() => undefined);
  }

  /** Those who ask while it is read are given what is read next, since theirs may be behind the mark. */
  async all(): Promise<StoredRecord[]> {
    await this.#declare();
    const before = this.#reading;
    if (before) await before.catch(() => undefined);
    if (this.#reading && this.#reading !== before) return this.#reading;
    const reading = this.#read().finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    return (this.#reading = reading);
  }

  async #read(): Promise<StoredRecord[]> {
    const newest = new Map<string, StoredRecord>();
    let count = 0;
    await this.#scan((message) => {
      const record = recordOf(message);
      if (!record) return;
      count++;
      const known = newest.get(record.key);
      if (!known || known.version <= record.version) newest.set(record.key, record);
    });
    const now = Date.now();
    const kept = [...newest.values()].filter(({ until }) => until > now);
    if (count > 2 * kept.length + SLACK) await this.#rewrite(kept);
    return kept;
  }

  /** What is behind them counts no more, and goes with the oldest parts of the stream. */
  async #rewrite(records: readonly StoredRecord[]): Promise<void> {
    for (let i = 0; i < records.length; i += BATCH) {
      await Promise.all(records.slice(i, i + BATCH).map((record) => this.#write(record)));
    }
  }

  #write({ key, version, payload, until }: StoredRecord): Promise<void> {
    return this.#publish(payload, { key, version, until }, ulid());
  }

  async #publish(payload: Buffer, headers: object, id: string): Promise<void> {
    try {
      await this.#parts.publish(payload, headers, id);
    } catch (error) {
      if (!(error instanceof BroadcastError) || error.code !== 'NO_LISTENER') throw error;
      // A broker that has just started, or whoever has deleted the stream: it is declared again.
      this.#declared = undefined;
      throw new BroadcastError('UNAVAILABLE', 'the stream of the records takes nothing now', { cause: error });
    }
  }

  /** Hands over what is in the stream, up to a mark that is put at its end. */
  async #scan(take: (message: ConsumeMessage) => void): Promise<void> {
    const mark = ulid();
    const channel = await this.#parts.channel();
    const deliveries = new Deliveries(channel, this.#parts.failed);
    try {
      await channel.prefetch(PREFETCH);
      const scanning = new Promise<void>((resolve, reject) => {
        channel.on('close', () => reject(new BroadcastError('UNAVAILABLE', 'the link was lost')));
        const receive = (message: ConsumeMessage) => {
          if (message.properties.messageId === mark) resolve();
          else take(message);
        };
        const consumed = channel.consume(
          this.#queue,
          (message) => {
            if (message) deliveries.take(message, () => receive(message));
            else reject(new BroadcastError('UNAVAILABLE', 'the stream of the records has been deleted'));
          },
          { arguments: { 'x-stream-offset': 'first' } },
        );
        Promise.all([consumed, this.#publish(Buffer.alloc(0), {}, mark)]).catch(reject);
      });
      await deadline(scanning, TIMEOUT, 'reading the records');
    } finally {
      deliveries.end();
      await channel.close().catch(() => undefined);
    }
  }

  /** Only where there are records: most processes on the bus have none. */
  #declare(): Promise<void> {
    return (this.#declared ??= this.#assert().catch((error: unknown) => {
      this.#declared = undefined;
      throw error;
    }));
  }

  /** As it is, where it is there already: its size is of whoever declared it first. */
  async #assert(): Promise<void> {
    const channel = await this.#parts.connection.createChannel();
    let refusal: Error | undefined;
    channel.on('error', (error: Error) => (refusal = error));
    try {
      await channel.assertQueue(this.#queue, {
        durable: true,
        arguments: {
          'x-queue-type': 'stream',
          'x-max-length-bytes': SIZE,
          'x-stream-max-segment-size-bytes': SEGMENT,
        },
      });
    } catch (error) {
      if ((refusal as { code?: number } | undefined)?.code === PRECONDITION_FAILED) return;
      // A broker that has just started knows of the stream for a while before it has it.
      const problem = `the stream of the records cannot be used now: ${toError(error).message}`;
      throw new BroadcastError('UNAVAILABLE', problem, { cause: error });
    }
    await channel.close();
  }
}

/** Marks, and what somebody else has put there, are none. */
function recordOf({ properties, content: payload }: ConsumeMessage): StoredRecord | undefined {
  const { key, version, until } = (properties.headers ?? {}) as Record<string, unknown>;
  if (typeof key !== 'string' || typeof version !== 'string' || typeof until !== 'number') return undefined;
  return { key, version, until, payload };
}
