/*
 * Who is in a room, in the form in which messages are written: those of large rooms are kept until somebody comes or
 * goes, so that a message to one costs no look-up for each of its sockets.
 */
import type { Socket } from 'socket.io';
import type { Room } from 'socket.io-adapter';
import { numberOf } from './address.js';
import type { Outlet } from './outlet.js';

/** A socket and its way out, which it shares with those of its connection in other namespaces. */
export interface Seat {
  readonly socket: Socket;
  readonly outlet: Outlet;
}

/** What is read of an adapter. */
export interface Rooms {
  readonly rooms: ReadonlyMap<Room, ReadonlySet<string>>;
  readonly sids: ReadonlyMap<string, ReadonlySet<Room>>;
}

/** Sockets in a room from which on it is kept. */
const LARGE = 16;

export class Audiences {
  readonly #rooms: Rooms;
  readonly #find: (id: string) => Seat | undefined;
  /** Of the sockets that have been written to. */
  readonly #seats = new Map<string, Seat>();
  readonly #kept = new Map<string, readonly Seat[]>();
  #everybody?: readonly Seat[];

  /** @param find the socket of this id, if it is connected */
  constructor(rooms: Rooms, find: (id: string) => Seat | undefined) {
    this.#rooms = rooms;
    this.#find = find;
  }

  /** The sockets in a room; without one, all. */
  of(room: string | undefined): readonly Seat[] {
    if (room === undefined) return (this.#everybody ??= this.seats(this.#rooms.sids.keys()));
    const kept = this.#kept.get(room);
    if (kept) return kept;
    const members = this.membersOf(room);
    if (!members) return NOBODY;
    const seats = this.seats(members);
    if (seats.length >= LARGE) this.#kept.set(room, seats);
    return seats;
  }

  /** Socket.IO lets a room be a number; its digits are the same room. */
  membersOf(room: string): ReadonlySet<string> | undefined {
    const { rooms } = this.#rooms;
    const named = rooms.get(room);
    const number = numberOf(room);
    const numbered = number === undefined ? undefined : rooms.get(number);
    return named && numbered ? new Set([...named, ...numbered]) : (named ?? numbered);
  }

  seats(ids: Iterable<string>): Seat[] {
    const seats: Seat[] = [];
    for (const id of ids) {
      const seat = this.#seats.get(id) ?? this.#seat(id);
      if (seat) seats.push(seat);
    }
    return seats;
  }

  /** Somebody has come into a room, or gone. */
  changed(room: Room, id: string): void {
    this.#kept.delete(String(room));
    if (room !== id) return;
    // They may have been in rooms before they were connected.
    this.#everybody = undefined;
    for (const other of this.#rooms.sids.get(id) ?? []) this.#kept.delete(String(other));
  }

  left(id: string): void {
    this.#seats.delete(id);
    this.#everybody = undefined;
  }

  #seat(id: string): Seat | undefined {
    const seat = this.#find(id);
    if (seat) this.#seats.set(id, seat);
    return seat;
  }
}

const NOBODY: readonly Seat[] = [];
