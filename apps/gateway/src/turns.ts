/*
 * The order in which a socket's requests about one room are done: that in which they were made. A join takes as long as the
 * broker does; without it, a leave that was asked for meanwhile would be done first, and the socket stay in the room.
 */
export class Turns {
  /** The last of those that are under way, by room. */
  readonly #last = new WeakMap<object, Map<string, Promise<unknown>>>();

  /** Does it when what the socket has asked for before, about the same room, is done or has failed. */
  async take<T>(socket: object, room: string, work: () => Promise<T>): Promise<T> {
    const rooms = this.#last.get(socket) ?? new Map<string, Promise<unknown>>();
    this.#last.set(socket, rooms);
    const before = rooms.get(room);
    const turn = before ? before.then(work, work) : work();
    rooms.set(room, turn);
    try {
      return await turn;
    } finally {
      if (rooms.get(room) === turn) rooms.delete(room);
    }
  }
}
