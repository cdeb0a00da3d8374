/*
 * Redis Pub/Sub: one channel per room, batched SUBSCRIBE, two connections. Fast, and forgets: what is published while
 * a link is down is missed. ioredis's own reconnecting, queueing and resubscribing are off: the bus owns all three.
 */
import type { Redis, RedisOptions } from 'ioredis';
import { checkOptions, checkUrl } from '../checks.js';
import { BroadcastError, toError } from '../errors.js';
import type { Channel, Link, LinkEvents, OpenOptions, RoomLog, Transport } from '../transport.js';
import { RedisJobs } from './redis.jobs.js';
import { RedisRecords } from './redis.records.js';
import { asRefusal } from './redis.refusals.js';
import { loadScripts, RedisLog, splitPosition } from './redis.log.js';
import { RedisTurn } from './redis.turn.js';

/** Messages that are taken in before everything else has its turn: libuv reads a socket up to 32 times in one, which was 6,000. */
const TURN = 500;

export interface RedisTransportOptions {
  /** `redis://` or, with TLS, `rediss://`. @default redis://127.0.0.1:6379 */
  url?: string;
  /** Put in front of every name at the broker. @default '' */
  prefix?: string;
  /** Further ioredis options (TLS, Sentinel, credentials). Those about reconnecting and queueing are overruled. */
  connection?: RedisOptions;
}

/** Redis 6.2 or later. @throws BroadcastError `BAD_REQUEST` for an address of another kind */
export function redis(options: RedisTransportOptions = {}): Transport {
  checkUrl('redis', options, /^rediss?:\/\//i, 'redis://user:password@host:6379');
  checkOptions('redis', options, { url: 'text', prefix: 'text', connection: 'any' });
  const { url = 'redis://127.0.0.1:6379', connection } = options;
  return {
    name: 'redis',
    // Given a path or sentinels, ioredis goes there instead.
    address: connection?.path || connection?.sentinels ? undefined : new URL(url).host,
    features: { network: true, redelivers: false, log: 'room' },
    open: (events, open) => RedisLink.open(events, open, options),
  };
}

class RedisLink implements Link {
  readonly jobs: RedisJobs;
  readonly records: RedisRecords;
  readonly #publisher: Redis;
  readonly #turn: RedisTurn;
  readonly #subscriber: Redis;
  readonly #prefix: string;
  readonly #events: LinkEvents;
  readonly log: RoomLog;
  readonly #connections = new Set<Redis>();
  /** What is subscribed on this link, by its name at the broker: a room is heard by one name, with history or without. */
  readonly #channels = new Map<string, readonly Channel[]>();

  private constructor(
    publisher: Redis,
    subscriber: Redis,
    prefix: string,
    events: LinkEvents,
    { instance, idWindow = 0 }: OpenOptions,
  ) {
    this.log = new RedisLog(publisher, (room) => this.#name(`room:${room}`), idWindow);
    this.records = new RedisRecords(publisher, prefix);
    this.#publisher = publisher;
    this.#turn = new RedisTurn(publisher);
    this.#subscriber = subscriber;
    this.#prefix = prefix;
    this.#events = events;
    for (const connection of [publisher, subscriber]) this.#watch(connection);
    const connect = () => this.#connect(`roomcast:${instance}:jobs`);
    this.jobs = new RedisJobs({ commands: publisher, prefix, instance, connect });
    let taken = 0;
    subscriber.on('messageBuffer', (name: Buffer, payload: Buffer) => {
      if (++taken % TURN === 0) breathe(subscriber);
      this.#receive(name, payload);
    });
  }

  static async open(events: LinkEvents, open: OpenOptions, options: RedisTransportOptions) {
    const { instance, signal } = open;
    const { Redis } = await load();
    const { url = 'redis://127.0.0.1:6379', prefix = '', connection } = options;
    const settings: RedisOptions = {
      ...connection,
      lazyConnect: true,
      retryStrategy: () => null,
      reconnectOnError: null,
      enableOfflineQueue: false,
      // With its default (true), a disconnect right after `ready` is an unhandled rejection that ends the process.
      autoResubscribe: false,
      // With its default (true), a PUBLISH whose first copy has run is sent again.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      // With its default, closing a connection that is closed already keeps the process alive for two seconds.
      disconnectTimeout: 0,
    };
    const publisher = new Redis(url, { ...settings, connectionName: `roomcast:${instance}:publish` });
    const subscriber = new Redis(url, { ...settings, connectionName: `roomcast:${instance}:subscribe` });
    const link = new RedisLink(publisher, subscriber, prefix, events, open);
    const abandon = () => void link.close();
    signal.addEventListener('abort', abandon);
    try {
      await Promise.all([publisher.connect(), subscriber.connect()]);
      await loadScripts(publisher);
      return link;
    } catch (error) {
      abandon();
      throw explain(error, url);
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  publish(channel: Channel, payload: Buffer): Promise<void> {
    const name = this.#name(channel);
    if (!channel.startsWith('instance:')) return this.#turn.publish(name, payload);
    return this.#publisher.publish(name, payload).then(
      (heard) => {
        if (heard === 0) throw new BroadcastError('NO_LISTENER', `nobody listens to ${channel}`);
      },
      (error: unknown) => {
        throw asRefusal(error);
      },
    );
  }

  async subscribe(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) {
      const name = this.#name(channel);
      const others = this.#channels.get(name)?.filter((other) => other !== channel) ?? [];
      this.#channels.set(name, [...others, channel]);
    }
    await this.#subscriber.subscribe(...channels.map((channel) => this.#name(channel)));
  }

  async unsubscribe(channels: readonly Channel[]): Promise<void> {
    const names: string[] = [];
    for (const channel of channels) {
      const name = this.#name(channel);
      const left = this.#channels.get(name)?.filter((other) => other !== channel) ?? [];
      if (left.length > 0) this.#channels.set(name, left);
      else if (this.#channels.delete(name)) names.push(name);
    }
    if (names.length > 0) await this.#subscriber.unsubscribe(...names);
  }

  /** Drops both sockets. `quit()` would wait for an answer that a dead connection never gives. */
  close(): Promise<void> {
    for (const connection of this.#connections) {
      connection.disconnect();
      connection.stream?.destroy();
    }
    return Promise.resolve();
  }

  /** A further connection, for commands that block. */
  async #connect(connectionName: string): Promise<Redis> {
    const connection = this.#publisher.duplicate({ connectionName });
    this.#watch(connection);
    await connection.connect();
    return connection;
  }

  /** The end of any connection is the end of the link. */
  #watch(connection: Redis): void {
    let cause: Error | undefined;
    connection.on('error', (error: Error & { command?: unknown }) => {
      // The command that was refused at the start holds the password, and whoever logs the error would log it.
      delete error.command;
      cause = error;
    });
    connection.on('close', () => this.#events.lost(cause ?? new Error('the server closed the connection')));
    connection.on('end', () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }

  #receive(name: Buffer, received: Buffer): void {
    const channels = this.#channels.get(name.toString());
    if (!channels) return;
    const { payload, pos } = splitPosition(received);
    for (const channel of channels) {
      try {
        this.#events.message(channel, payload, pos);
      } catch {
        // Counted and told by whoever threw it; Pub/Sub has no way to give a message back.
      }
    }
  }

  #name(channel: Channel): string {
    return redisChannel(channel, this.#prefix);
  }
}

/** `room:123` → `live_room:123`, `instance:gw-1` → `roomcast:instance:gw-1`, `all` → `roomcast:all`. */
export function redisChannel(channel: Channel, prefix: string): string {
  const at = channel.startsWith('room:') ? 5 : channel.startsWith('log:') ? 4 : 0;
  return at === 0 ? `${prefix}roomcast:${channel}` : `${prefix}live_room:${escapeRoom(channel.slice(at))}`;
}

/**
 * A room's name as a part of a Redis channel. Braces would move the hash tag of the keys that are named after the
 * channel, and half a surrogate pair is no UTF-8: these, and `%`, become `%` and their code in hex.
 */
function escapeRoom(room: string): string {
  if (!/[%{}\ud800-\udfff]/.test(room)) return room;
  return room.replace(/[%{}\p{Surrogate}]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

async function load() {
  try {
    return await import('ioredis');
  } catch (cause) {
    throw new BroadcastError('DRIVER_MISSING', 'the redis transport needs ioredis: npm install ioredis', { cause });
  }
}

/** Says which broker it was; never its password. */
function explain(error: unknown, url: string): Error {
  const cause = toError(error);
  const place = URL.canParse(url) ? new URL(url).host : 'the given REDIS_URL';
  return new Error(`Redis at ${place} cannot be reached: ${cause.message}`, { cause });
}

/** Reads nothing more in this turn. */
function breathe({ stream }: Redis): void {
  stream.pause();
  setImmediate(() => stream.resume());
}
