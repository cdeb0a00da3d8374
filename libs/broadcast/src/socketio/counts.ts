/*
 * How many sockets are in a room, on all instances. Numbers travel, not sockets; and all questions of one turn of the
 * event loop travel as one message, so that ten thousand joins at once ask a few times, not ten thousand.
 */
import { ulid } from '../ulid.js';

export interface CountsOptions {
  /** Sockets in each room on this instance. */
  local: (rooms: readonly string[]) => number[];
  /** Instances that will answer. */
  others: () => Promise<number>;
  /** Asks them. */
  ask: (id: string, rooms: readonly string[]) => Promise<void>;
  /** How long to wait for them, in ms. What has arrived by then is the answer. */
  timeout: number;
}

interface Question {
  readonly rooms: readonly string[];
  readonly totals: number[];
  missing: number;
  finish: () => void;
}

export class Counts {
  readonly #options: CountsOptions;
  /** Rooms asked about in this turn. */
  #asking?: { rooms: Set<string>; answer: Promise<ReadonlyMap<string, number>> };
  readonly #open = new Map<string, Question>();

  constructor(options: CountsOptions) {
    this.#options = options;
  }

  async of(room: string): Promise<number> {
    this.#asking ??= this.#gather();
    this.#asking.rooms.add(room);
    return (await this.#asking.answer).get(room) ?? 0;
  }

  /** Takes in another instance's answer. Late and unknown ones are ignored. */
  answered(id: string, counts: readonly number[]): void {
    const question = this.#open.get(id);
    if (!question) return;
    counts.forEach((count, index) => (question.totals[index] = (question.totals[index] ?? 0) + count));
    if (--question.missing === 0) question.finish();
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
    const { local, others, ask, timeout } = this.#options;
    const id = ulid();
    const question: Question = { rooms, totals: [], missing: await others(), finish: () => undefined };
    if (question.missing > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeout);
        question.finish = () => {
          clearTimeout(timer);
          resolve();
        };
        this.#open.set(id, question);
        ask(id, rooms).catch(question.finish);
      });
      this.#open.delete(id);
    }
    return new Map(local(rooms).map((count, index) => [rooms[index]!, count + (question.totals[index] ?? 0)]));
  }
}
