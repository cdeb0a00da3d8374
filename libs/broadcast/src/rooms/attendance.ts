/*
 * Who is in one room, put together from what each server has said of its own part; and what has changed since those who
 * look at it were last told. Every step costs as much as what has changed, not as the room is large.
 */

/** What one server has said of its part of a room. */
export interface Part {
  count: number;
  /** Left out where there are too many to be named. */
  users?: Set<string>;
}

/** What those who look at a room are told. */
export interface PresenceChange {
  count: number;
  /** Who is here now, and was not; after a change without names: everyone. */
  joined?: string[];
  /** Who was here, and is no more. */
  left?: string[];
}

export class Attendance {
  readonly #parts = new Map<string, Part>();
  /** In how many parts each user is. */
  readonly #present = new Map<string, number>();
  /** Members in parts without names. */
  #unnamed = 0;
  #partsUnnamed = 0;
  /** Users whose presence may have changed since the last take(). */
  readonly #touched = new Set<string>();
  /** Whom those who look have been told of; nobody while there are too many. */
  #shown: Set<string> | undefined = new Set();
  #told = 0;

  /** Users; one who is on several servers counts once if all parts have names. */
  get count(): number {
    return this.#present.size + this.#unnamed;
  }

  get users(): string[] {
    return [...this.#present.keys()];
  }

  /** Whether every member can be named, and there are not too many of them. */
  isListed(threshold: number): boolean {
    return this.#partsUnnamed === 0 && this.#present.size <= threshold;
  }

  /** The next take() begins or ends to name members: it may be as long as the room is large. */
  turns(threshold: number): boolean {
    return this.isListed(threshold) !== (this.#shown !== undefined);
  }

  part(server: string): Part | undefined {
    return this.#parts.get(server);
  }

  /**
   * Takes in all of a server's part, or that it has none.
   *
   * @param before whether they have been here all the time: nobody needs to be told
   */
  set(server: string, part: Part | undefined, before = false): void {
    const known = this.#parts.get(server);
    if (part) this.#parts.set(server, part);
    else this.#parts.delete(server);
    this.#countUnnamed(known, -1);
    this.#countUnnamed(part, 1);
    for (const user of part?.users ?? []) this.#enter(user);
    for (const user of known?.users ?? []) this.#leave(user);
    if (before && this.#shown) for (const user of part?.users ?? []) this.#shown.add(user);
    if (before) this.#told = this.count;
  }

  /** Takes in a change of a part that has names. */
  change(server: string, joined: Iterable<string>, left: Iterable<string>): void {
    const { users } = this.#parts.get(server) ?? this.#begin(server);
    if (!users) return;
    for (const user of joined) {
      if (users.has(user)) continue;
      users.add(user);
      this.#enter(user);
    }
    for (const user of left) if (users.delete(user)) this.#leave(user);
    if (users.size === 0) this.#parts.delete(server);
  }

  /** What has changed since the last time, if anything has. */
  take(threshold: number): PresenceChange | undefined {
    const { count } = this;
    const touched = [...this.#touched];
    this.#touched.clear();
    if (!this.isListed(threshold)) {
      if (this.#shown === undefined && count === this.#told) return undefined;
      this.#shown = undefined;
      this.#told = count;
      return { count };
    }
    const all = this.#shown === undefined;
    const shown = (this.#shown ??= new Set());
    const joined = (all ? this.users : touched).filter((user) => this.#present.has(user) && !shown.has(user));
    const left = touched.filter((user) => !this.#present.has(user) && shown.has(user));
    for (const user of joined) shown.add(user);
    for (const user of left) shown.delete(user);
    this.#told = count;
    if (joined.length + left.length === 0) return undefined;
    return { count, ...(joined.length > 0 && { joined }), ...(left.length > 0 && { left }) };
  }

  #begin(server: string): Part {
    const part = { count: 0, users: new Set<string>() };
    this.#parts.set(server, part);
    return part;
  }

  #countUnnamed(part: Part | undefined, sign: 1 | -1): void {
    if (!part || part.users) return;
    this.#unnamed += sign * part.count;
    this.#partsUnnamed += sign;
  }

  #enter(user: string): void {
    this.#present.set(user, (this.#present.get(user) ?? 0) + 1);
    this.#touched.add(user);
  }

  #leave(user: string): void {
    const parts = (this.#present.get(user) ?? 0) - 1;
    if (parts > 0) this.#present.set(user, parts);
    else this.#present.delete(user);
    this.#touched.add(user);
  }
}
