/*
 * The books of a load test: what was acknowledged in each room, and what each client in it has received. What is missing at
 * the end was lost, unless its client was told of a gap.
 */

interface Room {
  /** Numbers that were acknowledged. */
  readonly acknowledged: Set<number>;
  readonly members: Member[];
}

/** A client, as the books have it. */
export interface Member {
  readonly room: string;
  /** How often each number was received. */
  readonly received: Map<number, number>;
  /** Gaps that it was told of. */
  gaps: number;
}

export interface Balance {
  /** Messages that should have been received: each one by each client of its room. */
  expected: number;
  received: number;
  /** Of those, by clients that were told of no gap. */
  lost: number;
  /** Of those that are missing, by clients that were told of a gap. */
  told: number;
  duplicated: number;
}

export class Ledger {
  readonly #rooms = new Map<string, Room>();

  join(room: string): Member {
    const member = { room, received: new Map<number, number>(), gaps: 0 };
    this.#roomOf(room).members.push(member);
    return member;
  }

  acknowledged(room: string, number: number): void {
    this.#roomOf(room).acknowledged.add(number);
  }

  /** @returns whether it is the first time */
  received({ received }: Member, number: number): boolean {
    const times = received.get(number) ?? 0;
    received.set(number, times + 1);
    return times === 0;
  }

  balance(): Balance {
    const balance = { expected: 0, received: 0, lost: 0, told: 0, duplicated: 0 };
    for (const { acknowledged, members } of this.#rooms.values()) {
      for (const { received, gaps } of members) {
        balance.expected += acknowledged.size;
        let missing = 0;
        for (const number of acknowledged) missing += received.has(number) ? 0 : 1;
        balance[gaps > 0 ? 'told' : 'lost'] += missing;
        for (const times of received.values()) {
          balance.received += times;
          balance.duplicated += times - 1;
        }
      }
    }
    return balance;
  }

  /** Deliveries that are to come yet. */
  get missing(): number {
    const { lost, told } = this.balance();
    return lost + told;
  }

  #roomOf(name: string): Room {
    const room = this.#rooms.get(name) ?? { acknowledged: new Set<number>(), members: [] };
    this.#rooms.set(name, room);
    return room;
  }
}
