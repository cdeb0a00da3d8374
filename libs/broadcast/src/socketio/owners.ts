/*
 * Which server a socket is connected to, as far as others have said: what is for that socket alone goes straight there.
 * Bounded: the owner that was asked for longest ago is forgotten first, and asked for again when it is needed.
 */
export class Owners {
  readonly #size: number;
  readonly #owners = new Map<string, string>();

  /** @param size sockets to remember; 10,000 are about 1.5 MB */
  constructor(size = 10_000) {
    this.#size = size;
  }

  learn(socket: string, member: string): void {
    this.#owners.delete(socket);
    this.#owners.set(socket, member);
    if (this.#owners.size <= this.#size) return;
    const [oldest] = this.#owners.keys();
    this.#owners.delete(oldest!);
  }

  of(socket: string): string | undefined {
    const member = this.#owners.get(socket);
    if (member !== undefined) this.learn(socket, member);
    return member;
  }

  /** Its sockets are no longer connected. */
  forget(member: string): void {
    for (const [socket, owner] of this.#owners) if (owner === member) this.#owners.delete(socket);
  }
}
