/*
 * Whom an operation is for: as Socket.IO has it, as it travels, and with numbers for rooms.
 */
import type { BroadcastOptions, Room } from 'socket.io-adapter';
import type { Header } from '../envelope.js';

/** As it travels. */
export function addressOf({
  rooms,
  except,
  flags,
}: BroadcastOptions): Pick<Header, 'except' | 'flags'> & { rooms: string[] } {
  const { volatile, compress } = flags ?? {};
  return {
    rooms: namesOf(rooms),
    except: except && except.size > 0 ? namesOf(except) : undefined,
    flags: volatile === undefined && compress === undefined ? undefined : { volatile, compress },
  };
}

/** Socket.IO lets a room be a number. On the wire it is its digits, so the two are one room on every instance. */
export function withNumbers(opts: BroadcastOptions): BroadcastOptions {
  const rooms = bothWays(opts.rooms);
  const except = opts.except && bothWays(opts.except);
  return rooms === opts.rooms && except === opts.except ? opts : { ...opts, rooms, except };
}

/** The number that a room's name may stand for. */
export function numberOf(room: string): Room | undefined {
  return String(Number(room)) === room ? (Number(room) as unknown as Room) : undefined;
}

/** As rooms to join or to leave travel: JSON has no word for some numbers, but their names are the same rooms. */
export function inJson(rooms: readonly Room[]): Room[] {
  return rooms.map((room) => (typeof room === 'number' && !Number.isFinite(room) ? String(room) : room));
}

/** Each by its name and, where there is one, by the number that the name may stand for. */
export function bothWays(rooms: Set<Room>): Set<Room> {
  let both: Set<Room> | undefined;
  for (const room of rooms) {
    const twin = typeof room === 'number' ? String(room) : numberOf(room);
    if (twin !== undefined) both = (both ?? new Set(rooms)).add(twin);
  }
  return both ?? rooms;
}

/** Once each, though a room may be named by a number and by its digits. */
function namesOf(rooms: Set<Room>): string[] {
  if (rooms.size === 1) for (const room of rooms) return [String(room)];
  return [...new Set([...rooms].map(String))];
}
