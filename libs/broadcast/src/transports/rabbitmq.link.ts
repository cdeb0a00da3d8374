/*
 * One live link to RabbitMQ: publishing, hearing, and the end of both. Opened by rabbitmq.ts.
 */
import type { Channel as AmqpChannel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib';
import { deadline } from '../deadline.js';
import { BroadcastError, toError } from '../errors.js';
import type { Channel, Link, LinkEvents, RoomLog } from '../transport.js';
import { Bindings, type BindingsOptions } from './rabbitmq.bindings.js';
import { Deliveries } from './rabbitmq.deliveries.js';
import { RabbitmqJobs } from './rabbitmq.jobs.js';
import { RabbitmqLog, type LogMemory } from './rabbitmq.log.js';
import { EVERY_ROOM, isProbe, isRoom, routingKey, type BrokerNames, SENT_HEADER } from './rabbitmq.names.js';
import { RabbitmqRecords } from './rabbitmq.records.js';

/** Messages in a second that no room here wants: above it the queue is bound to its rooms only (10 µs of CPU each). */
const WASTE = 100;
/** Ms that close() waits for the broker's goodbye. */
const CLOSE_TIMEOUT = 1000;

/** The time in which a link can be used. Its end, by whichever part comes first, destroys every socket. */
export class Life {
  readonly #end = new AbortController();
  #leaving = false;

  /** Aborted at the end, with the cause as its reason. Sockets are given it when they are made. */
  readonly signal = this.#end.signal;

  end(cause: Error): void {
    this.#end.abort(cause);
  }

  /** Ends with the connection or channel. Without an `error` listener, a cut socket would end the process. */
  watch<T extends ChannelModel | AmqpChannel>(part: T): T {
    const over = (cause?: Error) => this.#leaving || this.end(cause ?? new Error('closed by the broker'));
    part.on('error', over);
    // A broker that is shut down closes the connection without an `error`. Channels close with it, or after their own.
    if ('createChannel' in part) part.on('close', over);
    return part;
  }

  /** Ends politely: says goodbye to the broker first, for as long as it may take to answer. */
  async leave(connections: readonly ChannelModel[], cause: Error): Promise<void> {
    this.#leaving = true;
    if (!this.signal.aborted) {
      await deadline(Promise.all(connections.map(goodbye)), CLOSE_TIMEOUT, 'closing').catch(() => undefined);
    }
    this.end(cause);
  }
}

export interface LinkParts {
  publishing: ChannelModel;
  consuming: ChannelModel;
  publisher: ConfirmChannel;
  consumer: AmqpChannel;
  binder: AmqpChannel;
}

export interface LinkOptions {
  prefix: string;
  maxBindings: number;
  adaptive: boolean;
  prefetch: number;
  idWindow: number;
  maxIds: number;
  /** Whether there are rooms with history. */
  keeps: boolean;
  previous?: Link;
  /** Aborted when what arrives is not heard any more. */
  signal: AbortSignal;
}

/** Without a room that has a history there is no stream. */
const NO_LOG: RoomLog = {
  append: () => Promise.reject(noLog()),
  read: () => Promise.reject(noLog()),
  tops: () => Promise.reject(noLog()),
};

export class RabbitmqLink implements Link {
  readonly #stream?: RabbitmqLog;
  readonly jobs: RabbitmqJobs;
  readonly records: RabbitmqRecords;
  readonly #parts: LinkParts;
  readonly #names: BrokerNames;
  readonly #events: LinkEvents;
  readonly #life: Life;
  readonly #rooms: Bindings;
  readonly #control: Bindings;
  /** Those of the probe: it goes by the rooms' exchange, whose wildcard does not hear it. */
  readonly #probe: Bindings;
  readonly #deliveries: Deliveries;
  readonly #channels = new Map<string, Channel>();
  readonly #returned = new Set<string>();
  #mandatory = 0;
  #wasted = 0;
  #wastedSince = 0;
  #closed: Promise<void> | undefined;

  constructor(
    parts: LinkParts,
    names: BrokerNames,
    events: LinkEvents,
    life: Life,
    { prefix, maxBindings, adaptive, prefetch, idWindow, maxIds, keeps, previous, signal }: LinkOptions,
  ) {
    this.jobs = new RabbitmqJobs(parts.publishing, parts.consuming, prefix);
    const channel = async () => life.watch(await parts.consuming.createChannel());
    const failed = (cause: Error) => life.end(cause);
    const publish = (payload: Buffer, headers: object, id: string) =>
      this.#publish('', names.records, payload, { mandatory: true, messageId: id, persistent: true, headers });
    this.records = new RabbitmqRecords({ connection: parts.consuming, publish, channel, failed }, names.records);
    if (keeps) {
      const memory: LogMemory | undefined = previous instanceof RabbitmqLink ? previous.#stream?.memory : undefined;
      const logParts = {
        publish: (key: string, payload: Buffer, id: string) =>
          this.#publish(names.rooms, key, payload, {
            mandatory: true,
            messageId: id,
            persistent: true,
            headers: { [SENT_HEADER]: Date.now() },
          }),
        channel,
        failed,
        signal,
        prefetch,
        idWindow,
        maxIds,
        forgot: () => events.forgot(),
      };
      this.#stream = new RabbitmqLog(logParts, names, events, memory);
    }
    this.#parts = parts;
    this.#names = names;
    this.#events = events;
    this.#life = life;
    this.#rooms = this.#bindings(names.rooms, adaptive ? { wildcard: EVERY_ROOM, max: maxBindings } : {});
    this.#control = this.#bindings(names.control);
    this.#probe = this.#bindings(names.rooms);
    this.#deliveries = new Deliveries(parts.consumer, (cause) => life.end(cause));
  }

  /** The end of opening: from here on the loss of any part is told. */
  async start(): Promise<void> {
    const { publisher, consumer } = this.#parts;
    const { signal } = this.#life;
    publisher.on('return', (message) => this.#returned.add(String(message.properties.correlationId)));
    // Where there are histories, most rooms are heard by the stream.
    if (!this.#stream) await this.#rooms.begin();
    await consumer.consume(this.#names.queue, (message) => this.#receive(message));
    await this.#stream?.start();
    signal.throwIfAborted();
    signal.addEventListener('abort', () => this.#lost(toError(signal.reason)));
  }

  get log(): RoomLog {
    return this.#stream ?? NO_LOG;
  }

  publish(channel: Channel, payload: Buffer): Promise<void> {
    // Only an instance has to be there; a room without listeners is not a failure.
    const mandatory = channel.startsWith('instance:');
    const exchange = isRoom(channel) || isProbe(channel) ? this.#names.rooms : this.#names.control;
    return this.#publish(exchange, routingKey(channel), payload, { mandatory });
  }

  #publish(
    exchange: string,
    key: string,
    payload: Buffer,
    options: { mandatory: boolean; messageId?: string; persistent?: boolean; headers?: object },
  ): Promise<void> {
    const correlationId = options.mandatory ? String(++this.#mandatory) : undefined;
    return new Promise((resolve, reject) => {
      const fail = (code: 'UNAVAILABLE' | 'UNCERTAIN' | 'NO_LISTENER', why: string, cause?: unknown) =>
        reject(new BroadcastError(code, `publishing to ${key} failed: ${why}`, { cause }));
      const settle = (refusal: unknown) => {
        // A message that cannot be routed is returned first and confirmed after that.
        const returned = correlationId !== undefined && this.#returned.delete(correlationId);
        if (refusal) fail('UNCERTAIN', 'the broker did not confirm it; it may have arrived', refusal);
        else if (returned) fail('NO_LISTENER', 'nobody is there to hear it');
        else resolve();
      };
      try {
        this.#parts.publisher.publish(exchange, key, payload, { ...options, correlationId }, settle);
      } catch (thrown) {
        fail('UNAVAILABLE', 'the link has ended', thrown);
      }
    });
  }

  async subscribe(channels: readonly Channel[]): Promise<void> {
    const { logs, rooms, control, probe } = sorted(channels);
    for (const channel of [...rooms, ...control, ...probe]) this.#channels.set(routingKey(channel), channel);
    if (logs.length > 0 && !this.#stream) throw noLog();
    this.#stream?.subscribe(logs);
    await Promise.all([
      this.#control.add(control.map(routingKey)),
      this.#probe.add(probe.map(routingKey)),
      this.#rooms.add(rooms.map(routingKey)),
    ]);
  }

  /** Nothing is heard of them any more. The rooms' bindings go later, since a join must not wait behind a thousand. */
  async unsubscribe(channels: readonly Channel[]): Promise<void> {
    const { logs, rooms, control, probe } = sorted(channels);
    for (const channel of [...rooms, ...control, ...probe]) this.#channels.delete(routingKey(channel));
    this.#stream?.unsubscribe(logs);
    this.#rooms.delete(rooms.map(routingKey)).catch(() => undefined); // it rejects with the end of the link, which is told as such
    await Promise.all([this.#control.delete(control.map(routingKey)), this.#probe.delete(probe.map(routingKey))]);
  }

  close(): Promise<void> {
    const cause = new BroadcastError('CLOSED', 'the link to RabbitMQ was closed');
    this.#stop(cause);
    return (this.#closed ??= this.#life.leave([this.#parts.publishing, this.#parts.consuming], cause));
  }

  #lost(cause: Error): void {
    if (this.#closed) return;
    const lost = new BroadcastError('LINK_LOST', `the link to RabbitMQ was lost: ${cause.message}`, { cause });
    this.#stop(lost);
    this.#events.lost(lost);
  }

  #stop(cause: Error): void {
    this.#deliveries.end();
    this.#rooms.end(cause);
    this.#control.end(cause);
    this.#probe.end(cause);
  }

  #receive(message: ConsumeMessage | null): void {
    if (!message) return this.#life.end(new Error('the broker cancelled the consumer: its queue is gone'));
    const channel = this.#channels.get(message.fields.routingKey);
    if (!channel) this.#waste();
    this.#deliveries.take(message, () => channel && this.#events.message(channel, message.content));
  }

  #waste(): void {
    const now = performance.now();
    if (now - this.#wastedSince > 1_000) {
      this.#wastedSince = now;
      this.#wasted = 0;
    }
    if (++this.#wasted > WASTE) this.#rooms.disturbed();
  }

  #bindings(exchange: string, options?: BindingsOptions): Bindings {
    const { binder } = this.#parts;
    const { queue } = this.#names;
    return new Bindings(
      {
        bind: (key) => binder.bindQueue(queue, exchange, key),
        unbind: (key) => binder.unbindQueue(queue, exchange, key),
      },
      options,
    );
  }
}

function sorted(channels: readonly Channel[]) {
  const logs = channels.filter((channel) => channel.startsWith('log:'));
  const rooms = channels.filter(isRoom);
  const probe = channels.filter(isProbe);
  const others = new Set([...logs, ...rooms, ...probe]);
  return { logs, rooms, probe, control: channels.filter((channel) => !others.has(channel)) };
}

function noLog(): BroadcastError {
  return new BroadcastError('BAD_REQUEST', 'this link keeps no histories: no profile has one');
}

/** Resolves when the connection is closed, also when it breaks before the broker has answered. */
function goodbye(connection: ChannelModel): Promise<void> {
  return new Promise((resolve) => {
    connection.on('close', () => resolve());
    connection.close().catch(() => resolve());
  });
}
