/*
 * Which way a message to rooms goes: to each room's own channel, which only instances with members hear, or, for many
 * rooms or a whole namespace, once to every instance.
 */
import type { Bus } from './bus.js';
import { encode, type Header } from './envelope.js';
import { BroadcastError } from './errors.js';
import type { Channel } from './transport.js';

/** A message that would take more ways than this takes one, to every instance. */
const MAX_ROUTES = 8;

export interface RoutingOptions {
  /** The ways that it takes. @default each room's own channel */
  channels?: readonly Channel[];
  /** Largest message, as it travels, in bytes. @default Infinity */
  maxBytes?: number;
}

/**
 * Whether Socket.IO may have drawn it as a socket's id. Every socket is in a room of that name, which no instance
 * subscribes to: there are too many of them. Clients of Socket.IO 2 have their namespace in front (`/admin#…`). A room that only looks like one costs a message to every instance.
 */
export function looksLikeSocketId(room: string): boolean {
  return (room.length === 20 || room.startsWith('/')) && /^(\/.*#)?[\w-]{20}$/.test(room);
}

/**
 * Publishes once for each way, and resolves when the broker has accepted all of it.
 *
 * @param rooms none: the whole namespace
 * @throws BroadcastError `BAD_REQUEST` and `TOO_LARGE` at once; what {@link Bus.publish} says, through the promise
 */
export function publishToRooms(
  bus: Bus,
  rooms: readonly string[],
  header: Omit<Header, 'v' | 'room' | 'rooms' | 'kind'>,
  args: readonly unknown[],
  { channels = rooms.map((room): Channel => `room:${room}`), maxBytes = Infinity }: RoutingOptions = {},
): Promise<unknown> {
  const toAll = channels.length === 0 || channels.length > MAX_ROUTES || channels.includes('all');
  const ways: readonly Channel[] = toAll ? ['all'] : channels;
  const payloads = new Map<boolean, Buffer>();
  for (const inRoom of new Set(ways.map(isRoom))) {
    const address = inRoom ? addressed(rooms) : { kind: 'emit', ...named(rooms) };
    const payload = encode({ ...header, ...address }, args);
    if (payload.length > maxBytes) {
      throw new BroadcastError('TOO_LARGE', `the message has ${payload.length} bytes, the limit is ${maxBytes}`);
    }
    payloads.set(inRoom, payload);
  }
  return Promise.all(ways.map((channel) => bus.publish(channel, payloads.get(isRoom(channel))!)));
}

function isRoom(channel: Channel): boolean {
  return channel.startsWith('room:');
}

function addressed(rooms: readonly string[]): Pick<Header, 'room' | 'rooms'> {
  return rooms.length === 1 ? { room: rooms[0] } : { rooms };
}

function named(rooms: readonly string[]): Pick<Header, 'rooms'> {
  return rooms.length === 0 ? {} : { rooms };
}
