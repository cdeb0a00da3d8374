/*
 * Which way a message to rooms goes: to each room's own channel, which only instances with members hear, or, for many
 * rooms or a whole namespace, once to every instance.
 */
import type { Bus } from './bus.js';
import { encode, encodePlain, type Header, type PlainHeader } from './envelope.js';
import { BroadcastError } from './errors.js';
import type { Position } from './position.js';
import type { Attributes } from './tracing.js';
import type { Channel } from './transport.js';

/** A message that would take more ways than this takes one, to every instance. */
const MAX_ROUTES = 8;

export interface RoutingOptions {
  /** The ways that it takes. @default each room's own channel */
  channels?: readonly Channel[];
  /** Largest message, as it travels, in bytes. @default Infinity */
  maxBytes?: number;
  /** The arguments as JSON, where somebody has them so already. */
  json?: string;
}

type RoomHeader = Omit<Header, 'v' | 'room' | 'rooms' | 'kind'>;

/**
 * Whether Socket.IO may have drawn it as a socket's id. Every socket is in a room of that name, which no instance
 * subscribes to: there are too many of them. Clients of Socket.IO 2 have their namespace in front (`/admin#…`). A room that only looks like one costs a message to every instance.
 */
export function looksLikeSocketId(room: string): boolean {
  return (room.length === 20 || room.startsWith('/')) && /^(\/.*#)?[\w-]{20}$/.test(room);
}

/**
 * Publishes once for each way, and resolves when the broker has accepted all of it: with the positions that it has in
 * the logs of rooms with history, in their order. A plain emit is stored in none.
 *
 * @param rooms none: the whole namespace
 * @throws BroadcastError `BAD_REQUEST` and `TOO_LARGE` at once; what {@link Bus.publish} says, through the promise
 */
export function publishToRooms(
  bus: Bus,
  rooms: readonly string[],
  header: RoomHeader,
  args: readonly unknown[],
  options?: RoutingOptions,
): Promise<(Position | undefined)[]> {
  const attributes = () => publishAttributes(rooms, header.id);
  return bus.tracing.produce('publish', attributes, (traceparent) =>
    sendToRooms(bus, rooms, traceparent === undefined ? header : { ...header, traceparent }, args, options),
  );
}

/** Those of the span in which something is said. */
export function publishAttributes(rooms: readonly string[], id?: string): Attributes {
  return {
    'messaging.system': 'roomcast',
    'messaging.destination.name': rooms.length === 1 ? rooms[0]! : `${rooms.length} rooms`,
    ...(id !== undefined && { 'messaging.message.id': id }),
  };
}

function sendToRooms(
  bus: Bus,
  rooms: readonly string[],
  header: RoomHeader,
  args: readonly unknown[],
  { channels, maxBytes = Infinity, json }: RoutingOptions = {},
): Promise<(Position | undefined)[]> {
  if (header.raw && rooms.length === 1 && channels?.length === 1 && isRoom(channels[0]!)) {
    // What nearly every emit is: nothing is built for the cases below.
    const [room = ''] = rooms;
    const payload =
      json !== undefined && isPlain(header)
        ? encodePlain(header, room, json)
        : encode({ ...header, room: rooms[0] }, args, json);
    return bus.publish(channels[0]!, payload) as Promise<unknown> as Promise<[]>;
  }
  const kept = header.raw ? [] : rooms.filter((room) => bus.logs.historyOf(room));
  const live = kept.length === 0 ? rooms : rooms.filter((room) => !kept.includes(room));
  const encoded = (address: Pick<Header, 'room' | 'rooms' | 'kind'>) => {
    const payload = encode({ ...header, ...address }, args, json);
    if (payload.length <= maxBytes) return payload;
    throw new BroadcastError('TOO_LARGE', `the message has ${payload.length} bytes, the limit is ${maxBytes}`);
  };
  const publishing: Promise<Position | undefined | void>[] = [];
  if (kept.length > 0) {
    const payload = encoded(addressed(rooms));
    publishing.push(...kept.map((room) => bus.logs.append(room, payload, header.id!)));
    if (live.length === 0) return Promise.all(publishing) as Promise<(Position | undefined)[]>;
  }
  const ways = waysOf(channels ?? live.map((room): Channel => `room:${room}`));
  const payloads = new Map<boolean, Buffer>();
  for (const inRoom of new Set(ways.map(isRoom))) {
    payloads.set(inRoom, encoded(inRoom ? addressed(rooms) : { kind: 'emit', ...named(live) }));
  }
  publishing.push(...ways.map((channel) => bus.publish(channel, payloads.get(isRoom(channel))!)));
  return Promise.all(publishing) as Promise<(Position | undefined)[]>;
}

function isPlain(header: RoomHeader): header is RoomHeader & PlainHeader {
  const { id, at, origin, from, except, flags, seek, traceparent, key } = header;
  const more = from ?? except ?? flags ?? seek ?? traceparent ?? key;
  return more === undefined && id !== undefined && at !== undefined && origin !== undefined;
}

function waysOf(channels: readonly Channel[]): readonly Channel[] {
  const toAll = channels.length === 0 || channels.length > MAX_ROUTES || channels.includes('all');
  return toAll ? ['all'] : channels;
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
