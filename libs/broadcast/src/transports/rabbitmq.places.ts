/*
 * Where the messages of each room are in the stream, as far as this instance has followed it: a room's history is read
 * from where it begins to where it ends, not from the end of everybody's.
 */

/** Places that are kept for certain; at most twice as many are. At 8 bytes each, and the names of their rooms. */
const KEPT = 100_000;

/** Places in a part of the stream, by routing key, oldest first. */
interface Part {
  /** The offset it begins with. */
  readonly from: number;
  readonly byKey: Map<string, number[]>;
  count: number;
}

export class Places {
  /** The older one, which goes when the younger is full, and the one that grows. */
  #parts: Part[] = [];
  readonly #kept: number;

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  /** The offset from which on all places are known; none while nothing is. */
  get from(): number | undefined {
    return this.#parts[0]?.from;
  }

  /** A message has come: they come in the order of the stream. */
  add(key: string, offset: number): void {
    let part = this.#parts.at(-1);
    if (!part || part.count >= this.#kept) {
      part = { from: offset, byKey: new Map(), count: 0 };
      this.#parts = [...this.#parts.slice(-1), part];
    }
    const places = part.byKey.get(key);
    if (places) places.push(offset);
    else part.byKey.set(key, [offset]);
    part.count++;
  }

  /** Those of a key between two offsets, both included, oldest first. */
  between(key: string, start: number, end: number): number[] {
    const places = this.#parts.flatMap(({ byKey }) => byKey.get(key) ?? []);
    return places.slice(after(places, start - 1), after(places, end));
  }

  /** What comes next does not follow on what came. */
  clear(): void {
    this.#parts = [];
  }
}

/** How many of them are not above an offset. */
function after(places: readonly number[], offset: number): number {
  return places.findLastIndex((place) => place <= offset) + 1;
}
