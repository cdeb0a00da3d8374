/*
 * Which signatures were seen lately, for a time: two generations, the older of which is forgotten when the younger has
 * lasted. Remembers each for at least `lifetime` ms and at most for twice as long while others come, so that its memory
 * is the rate times that. Age is measured on the clock that nobody sets.
 */
export class RecentMacs {
  readonly #lifetime: number;
  #young = new Set<string>();
  #old = new Set<string>();
  /** When the younger generation began. */
  #since = performance.now();

  /** @param lifetime how long each is remembered at least, in ms */
  constructor(lifetime: number) {
    this.#lifetime = lifetime;
  }

  /** Whether it is new; it is not from then on. */
  add(mac: string): boolean {
    this.#age();
    if (this.#young.has(mac) || this.#old.has(mac)) return false;
    this.#young.add(mac);
    return true;
  }

  #age(): void {
    const now = performance.now();
    if (now - this.#since < this.#lifetime) return;
    this.#old = this.#young;
    this.#young = new Set();
    this.#since = now;
  }
}
