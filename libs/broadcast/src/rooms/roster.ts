/*
 * Who is in rooms on this instance: users, each with the sockets that they are there with. Who has lost the connection
 * stays for a while, and is told to have left only if they do not come back.
 */

interface Absence {
  readonly room: string;
  readonly user: string;
  readonly until: number;
}

export class Roster {
  readonly #rooms = new Map<string, Map<string, Set<string>>>();
  /** In the order in which they end. */
  readonly #absences = new Map<string, Absence>();
  readonly #grace: number;

  /** @param grace how long a user without a socket stays, in ms */
  constructor(grace: number) {
    this.#grace = grace;
  }

  /** Users in the room, with their sockets. */
  of(room: string): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#rooms.get(room) ?? NOBODY;
  }

  /** Whether the user was not there before. */
  enter(room: string, user: string, socket: string): boolean {
    const users = this.#rooms.get(room) ?? new Map<string, Set<string>>();
    this.#rooms.set(room, users);
    const sockets = users.get(user);
    this.#absences.delete(keyOf(room, user));
    if (sockets) sockets.add(socket);
    else users.set(user, new Set([socket]));
    return sockets === undefined;
  }

  /**
   * @param mayReturn the connection was lost: the user stays for now
   * @returns whether the user is not there any more
   */
  leave(room: string, user: string, socket: string, mayReturn: boolean): boolean {
    const sockets = this.#rooms.get(room)?.get(user);
    if (!sockets?.delete(socket) || sockets.size > 0) return false;
    if (!mayReturn) return this.remove(room, user);
    this.#absences.set(keyOf(room, user), { room, user, until: performance.now() + this.#grace });
    return false;
  }

  /** Ends the absences that have been too long. Returns whom of which room. */
  expire(): { room: string; user: string }[] {
    const now = performance.now();
    const gone: Absence[] = [];
    for (const [key, absence] of this.#absences) {
      if (absence.until > now) break;
      this.#absences.delete(key);
      if (this.remove(absence.room, absence.user)) gone.push(absence);
    }
    return gone;
  }

  /** Whether the user was there. */
  remove(room: string, user: string): boolean {
    const users = this.#rooms.get(room);
    this.#absences.delete(keyOf(room, user));
    if (!users?.delete(user)) return false;
    if (users.size === 0) this.#rooms.delete(room);
    return true;
  }
}

const NOBODY: ReadonlyMap<string, ReadonlySet<string>> = new Map();

function keyOf(room: string, user: string): string {
  return JSON.stringify([room, user]);
}
