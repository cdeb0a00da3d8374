/*
 * Which ids were seen lately, in bounded memory: two generations, the older of which is forgotten when the younger is
 * full. Remembers at least the last `size` ids and at most twice as many.
 */
export class RecentIds {
  readonly #size: number;
  #young = new Set<string>();
  #old = new Set<string>();

  /** @param size ids per generation; 50,000 are about 9 MB */
  constructor(size = 50_000) {
    this.#size = size;
  }

  has(id: string): boolean {
    return this.#young.has(id) || this.#old.has(id);
  }

  add(id: string): void {
    this.#young.add(id);
    if (this.#young.size < this.#size) return;
    this.#old = this.#young;
    this.#young = new Set();
  }
}
