/*
 * Which way a message to rooms goes: to each room's own channel, which only instances with members hear, or, for many
 * rooms or a whole namespace, once to every instance.
 */
import type { Bus } from './bus.js';
import { encode, type Header } from './envelope.js';
import { BroadcastError } from './errors.js';

/** Rooms in one call travel as one message each up to here, and as one message to every instance above. */
const MAX_ROUTES = 8;

export interface RoutingOptions {
  /** It has to go to every instance, because not every member's instance listens to the room. @default false */
  everywhere?: boolean;
  /** Largest message, as it travels, in bytes. @default Infinity */
  maxBytes?: number;
}

/**
 * Encodes once and publishes. Resolves when the broker has accepted all of it.
 *
 * @param rooms none: the whole namespace
 * @throws BroadcastError `BAD_REQUEST` and `TOO_LARGE` at once; what {@link Bus.publish} says, through the promise
 */
export function publishToRooms(
  bus: Bus,
  rooms: readonly string[],
  header: Omit<Header, 'v' | 'room' | 'rooms' | 'kind'>,
  args: readonly unknown[],
  { everywhere = false, maxBytes = Infinity }: RoutingOptions = {},
): Promise<unknown> {
  const toAll = everywhere || rooms.length === 0 || rooms.length > MAX_ROUTES;
  const payload = encode({ ...header, ...(toAll && { kind: 'emit' }), ...addressed(rooms, toAll) }, args);
  if (payload.length > maxBytes) {
    throw new BroadcastError('TOO_LARGE', `the message has ${payload.length} bytes, the limit is ${maxBytes}`);
  }
  if (toAll) return bus.publish('all', payload);
  return Promise.all(rooms.map((room) => bus.publish(`room:${room}`, payload)));
}

function addressed(rooms: readonly string[], toAll: boolean): Pick<Header, 'room' | 'rooms'> {
  if (rooms.length === 0) return {};
  return rooms.length === 1 && !toAll ? { room: rooms[0] } : { rooms };
}
