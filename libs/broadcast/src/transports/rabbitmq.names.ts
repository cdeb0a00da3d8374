/*
 * What Roomcast's things are called at a RabbitMQ broker: exchanges, queues and routing keys. Other services and
 * other languages publish under these names, so they are part of the protocol.
 */
import { createHash } from 'node:crypto';
import type { Channel } from '../transport.js';

/** The objects at the broker. Every name carries the prefix. */
export function brokerNames(prefix: string, instance: string, nonce: string) {
  return {
    /** Topic exchange, keys `room.<room>`, and `probe.<id>`. */
    rooms: `${prefix}live_rooms`,
    /** Direct exchange, keys `all` and `instance.<id>`. */
    control: `${prefix}roomcast`,
    /** The one queue of a link. The nonce: after a half-open connection the old name stays locked for minutes. */
    queue: `${prefix}live_rooms.i.${escapeName(instance)}.${nonce}`,
    /** The stream of the rooms with history. */
    log: `${prefix}live_rooms.log`,
    /** The stream of what outlives every instance. */
    records: `${prefix}live_rooms.records`,
    deadLetterExchange: `${prefix}live_rooms.dlx`,
    /** Name and routing key of the queue where messages go that nobody could handle. */
    deadLetters: `${prefix}live_rooms.dead`,
  };
}

export type BrokerNames = ReturnType<typeof brokerNames>;

/** Matches the routing key of every room. */
export const EVERY_ROOM = 'room.#';

/** Reaches the stream and nothing else: by it an instance finds the stream's end. */
export const MARK_KEY = 'log.mark';

/** Header of a message in the log: when it was sent, in ms since 1970, by the clock of its sender. */
export const SENT_HEADER = 'sent';

export function isRoom(channel: Channel): boolean {
  return channel.startsWith('room:');
}

export function isProbe(channel: Channel): boolean {
  return channel.startsWith('probe:');
}

/** `room:123` → `room.123`, `instance:gw-1` → `instance.gw-1`, `all` → `all`. Different channels, different keys. */
export function routingKey(channel: Channel): string {
  const colon = channel.indexOf(':');
  return colon < 0 ? channel : `${channel.slice(0, colon)}.${escapeName(channel.slice(colon + 1))}`;
}

const LONGEST = 200;

/**
 * Escapes what a topic exchange gives a meaning to: `*`, `#`, and `%` itself, as `%2A`, `%23`, `%25`. Half surrogate
 * pairs, which have no UTF-8 of their own, become `%uD800`. What is longer than 200 bytes after that becomes `%~` and
 * the SHA-256 of the escaped form in hexadecimal (a key holds 255 bytes). No two names share an escaped form.
 */
export function escapeName(name: string): string {
  const escaped = name.replace(
    /[%*#]|\p{Surrogate}/gu,
    (c) => (c < '\u{80}' ? '%' : '%u') + c.charCodeAt(0).toString(16).toUpperCase(),
  );
  if (Buffer.byteLength(escaped) <= LONGEST) return escaped;
  return `%~${createHash('sha256').update(escaped).digest('hex')}`;
}
