/*
 * How many sockets are in a room, on all instances. Numbers travel, not sockets; and all questions of one turn of the
 * event loop travel as one message, so that ten thousand joins at once ask a few times, not ten thousand.
 */

export interface CountsOptions {
  /** Sockets in each room on this instance. */
  local: (rooms: readonly string[]) => number[];
  /** Asks the others: the numbers of each that has answered in time, in the order of the rooms. */
  ask: (rooms: readonly string[]) => Promise<readonly (readonly number[])[]>;
}

export class Counts {
  readonly #options: CountsOptions;
  /** Rooms asked about in this turn. */
  #asking?: { rooms: Set<string>; answer: Promise<ReadonlyMap<string, number>> };

  constructor(options: CountsOptions) {
    this.#options = options;
  }

  async of(room: string): Promise<number> {
    this.#asking ??= this.#gather();
    this.#asking.rooms.add(room);
    return (await this.#asking.answer).get(room) ?? 0;
  }

  #gather() {
    const rooms = new Set<string>();
    const answer = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#asking = undefined;
      return this.#put([...rooms]);
    });
    return { rooms, answer };
  }

  async #put(rooms: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const others = await this.#options.ask(rooms);
    const total = (local: number, index: number) => others.reduce((sum, counts) => sum + (counts[index] ?? 0), local);
    return new Map(this.#options.local(rooms).map((local, index) => [rooms[index]!, total(local, index)]));
  }
}
