/*
 * Things in the order in which they came, of which any may leave at any time. A `Set` does the same, but leaves its old
 * tables behind as it turns over: once one of them is old enough for the garbage collector to leave it alone, all that
 * passes through the set afterwards is kept with it until the next large collection.
 */
export interface Standing {
  /** Set by the line alone. */
  before?: this;
  behind?: this;
  inLine?: boolean;
}

export class Line<T extends Standing> {
  #first?: T;
  #last?: T;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#first;
  }

  /** Puts it at the end. It must not stand in a line. */
  add(item: T): void {
    item.inLine = true;
    item.before = this.#last;
    if (this.#last) this.#last.behind = item;
    else this.#first = item;
    this.#last = item;
    this.#size++;
  }

  /** Returns whether it stood there. */
  delete(item: T): boolean {
    if (!item.inLine) return false;
    const { before, behind } = item;
    if (before) before.behind = behind;
    else this.#first = behind;
    if (behind) behind.before = before;
    else this.#last = before;
    item.inLine = false;
    item.before = item.behind = undefined;
    this.#size--;
    return true;
  }

  /** As it is now: who leaves or comes meanwhile does not change it. */
  all(): T[] {
    const all: T[] = [];
    for (let item = this.#first; item; item = item.behind) all.push(item);
    return all;
  }
}
