/*
 * How many sockets are in a room, on all instances. Numbers travel, not sockets; and all questions of one turn of the
 * event loop travel as one message, so that ten thousand joins at once ask a few times, not ten thousand.
 */

export interface CountsOptions {
  /** Sockets in each room on this instance. */
  local: (rooms: readonly string[]) => number[];
  /** Asks the others: the numbers of each that has answered in time, in the order of the rooms, and whether all have. */
  ask: (rooms: readonly string[]) => Promise<{ numbers: readonly (readonly number[])[]; complete: boolean }>;
}

export interface SocketCount {
  sockets: number;
  /** Whether every instance has said its part. */
  complete: boolean;
}

export class Counts {
  readonly #options: CountsOptions;
  /** Rooms asked about in this turn. */
  #asking?: { rooms: Set<string>; answer: Promise<ReadonlyMap<string, SocketCount>> };

  constructor(options: CountsOptions) {
    this.#options = options;
  }

  async of(room: string): Promise<SocketCount> {
    this.#asking ??= this.#gather();
    this.#asking.rooms.add(room);
    return (await this.#asking.answer).get(room)!;
  }

  #gather() {
    const rooms = new Set<string>();
    const answer = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#asking = undefined;
      return this.#put([...rooms]);
    });
    return { rooms, answer };
  }

  async #put(rooms: readonly string[]): Promise<ReadonlyMap<string, SocketCount>> {
    const { numbers, complete } = await this.#options.ask(rooms);
    const total = (local: number, index: number) => numbers.reduce((sum, counts) => sum + (counts[index] ?? 0), local);
    const count = (local: number, index: number) => ({ sockets: total(local, index), complete });
    return new Map(this.#options.local(rooms).map((local, index) => [rooms[index]!, count(local, index)]));
  }
}
