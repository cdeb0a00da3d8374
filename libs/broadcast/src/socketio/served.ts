/*
 * Which sockets have had a message to several rooms, whose copies come one after the other: who is in which of them may
 * change in between. Kept until the copies have come, or for a few seconds.
 */
export class Served {
  readonly #lifetime: number;
  #young = new Map<string, Set<string>>();
  #old = new Map<string, Set<string>>();
  #since = 0;

  /** @param lifetime ms for which a message is remembered at least, and at most twice as long */
  constructor(lifetime = 5_000) {
    this.#lifetime = lifetime;
  }

  /** The sockets that have had this message, to be added to. */
  of(message: string): Set<string> {
    this.#rotate();
    const sockets = this.#young.get(message) ?? this.#old.get(message) ?? new Set();
    this.#young.set(message, sockets);
    return sockets;
  }

  /** No more copies will come. */
  done(message: string): void {
    this.#young.delete(message);
    this.#old.delete(message);
  }

  #rotate(): void {
    const now = performance.now();
    if (now - this.#since < this.#lifetime) return;
    this.#since = now;
    this.#old = this.#young;
    this.#young = new Map();
  }
}
