/*
 * One room's log as this instance hears it: in order, each message once, and nothing left out without saying so. Keeps
 * the last messages at hand for whoever comes back.
 *
 * Live messages come by a subscription, missed ones are read from the log. Between the two there is no fence at the broker
 * but the position: what is read up to a place is dropped when it arrives live too.
 */
import { BroadcastError } from './errors.js';
import { epochOf, idOf, isSameMark, offsetOf, type Mark, type Position } from './position.js';
import type { LogEntry, LogPage, ReadOptions } from './transport.js';

/** A page whose messages all have their ids. */
export type StoredPage = Omit<LogPage, 'entries'> & { readonly entries: readonly StoredEntry[] };

/** A message of the log, by its id. */
export type StoredEntry = LogEntry & { readonly id: string };

/** Hears a room's messages: those that are only live carry no position. Throws when one cannot be handled. */
export type FeedListener = (payload: Buffer, pos: Position | undefined) => void;

export interface FeedOptions {
  readonly room: string;
  /** Whether the log is this room's alone, so that its offsets are contiguous. */
  readonly contiguous: boolean;
  /** Messages kept at hand, and their bytes. The room keeps no more of them either, nor for longer than this, in ms. */
  readonly ringSize: number;
  readonly ttl: number;
  readonly ringBytes: number;
  /** Messages that may wait while missed ones are read. */
  readonly bufferSize: number;
  readonly read: (options: ReadOptions) => Promise<StoredPage>;
  /** The newest place of the log, see {@link RoomLog.tops}. */
  readonly top: () => Promise<Mark>;
  readonly deliver: FeedListener;
  /** Messages may have been missed that cannot be read any more. Told before what comes after them. */
  readonly gap: (cause: Error) => void;
  /** A bound was reached: a message does not wait, or the oldest at hand are let go of for want of bytes. */
  readonly full: (what: 'buffer' | 'ring') => void;
  /** The log could not be read: until it is aligned again, what arrives is held back. */
  readonly stuck: () => void;
}

/** What somebody who comes back has missed. */
export interface Missed {
  /** `false`: it cannot be promised that these are all; then there are none. */
  readonly recovered: boolean;
  /** Oldest first. */
  readonly entries: readonly StoredEntry[];
}

const LOST: Missed = { recovered: false, entries: [] };
/** Messages per read. */
const PAGE = 1_000;
/** How long a feed that is behind the one who comes back may take to get there, in ms. */
const PATIENCE = 2_000;

export class Feed {
  readonly #options: FeedOptions;
  #ring: StoredEntry[] = [];
  #ringBytes = 0;
  /** The place before the first of the ring. */
  #base?: Mark;
  /** The place up to which everything has been delivered. */
  #last?: Mark;
  /** What has arrived live while missed messages are being read. */
  #waiting: { payload: Buffer; pos: Position }[] | undefined = [];
  #overflowed = false;
  #aligning?: Promise<void>;
  /** Both grow: what was found out before one of them does not hold after it. */
  #outages = 0;
  #restarts = 0;
  /** When the last message came, in ms since the process began. */
  #heardAt = 0;
  readonly #progress = new Set<() => void>();

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Whether it has a place in the log, and nothing is being caught up. */
  get isLive(): boolean {
    return this.#last !== undefined && this.#waiting === undefined;
  }

  /** Where it is. */
  get last(): Mark | undefined {
    return this.#last;
  }

  /** A message has arrived on the room's channel. */
  receive(payload: Buffer, pos: Position | undefined): void {
    if (pos === undefined) return this.#options.deliver(payload, undefined);
    if (!this.#waiting) return this.#next(payload, pos);
    if (this.#waiting.length < this.#options.bufferSize) this.#waiting.push({ payload, pos });
    else {
      this.#overflowed = true;
      this.#options.full('buffer');
    }
  }

  /** The link is gone: what arrives from now on may not follow. */
  interrupt(): void {
    if (!this.#options.contiguous) return;
    this.#outages++;
    this.#waiting ??= [];
  }

  /**
   * Finds its place in the log, the first time, or reads what was missed. Resolves when it is live. Rejects when the
   * log cannot be read; then it goes on holding back what arrives, and wants to be asked again.
   */
  align(): Promise<void> {
    this.#waiting ??= [];
    return (this.#aligning ??= this.#align()
      .finally(() => (this.#aligning = undefined))
      .catch((error: unknown) => {
        this.#options.stuck();
        throw error;
      }));
  }

  /** Compares its place with the newest one, as the log has it. Reads what is missing. */
  async compare(top: Mark): Promise<void> {
    const last = this.#last;
    if (!last || !this.isLive || isSameMark(last, top)) return;
    if (!this.#options.contiguous) return this.#reach(top);
    // What is on its way has been ahead of us for a moment only.
    if (epochOf(top.pos) === epochOf(last.pos) && offsetOf(top.pos) > offsetOf(last.pos)) {
      await this.#advanced(offsetOf(top.pos));
      if (offsetOf(this.#last!.pos) >= offsetOf(top.pos)) return;
    } else if (epochOf(top.pos) === epochOf(last.pos) && offsetOf(top.pos) < offsetOf(this.#last!.pos)) {
      // It went on while the answer was under way, unless the log has been put back.
      const { at } = await this.#options.read({ from: last.pos, limit: 1 });
      if (at && isSameMark(at, last)) return;
    }
    await this.align();
  }

  /** The log does not go on where it was, but after `from`. */
  lose(cause: Error, from: Mark): void {
    // Of another log: its offsets would stand in front of the new ones, and these would pass for copies.
    if (this.#waiting) this.#waiting = [];
    this.#restart(from);
    this.#options.gap(cause);
  }

  /**
   * Finds what was said after a place, and calls `then` with it in the turn in which it is complete: whoever enters the
   * room in that call misses nothing and hears nothing twice.
   *
   * @throws BroadcastError through the promise when the log cannot be read now
   */
  async replay<T>(since: Mark, limit: number, then: (missed: Missed) => T): Promise<T> {
    const older: StoredEntry[] = [];
    const finish = (newer: readonly StoredEntry[]) => {
      const entries = [...older, ...newer];
      return then(entries.length > limit ? LOST : { recovered: true, entries });
    };
    const restarts = this.#restarts;
    for (let from = since; ;) {
      const last = this.#placeOf(from);
      if (!last) return then(LOST);
      const rest = this.#after(from);
      if (rest) return finish(rest);
      // Another instance has shown what this one has yet to hear.
      if (offsetOf(from.pos) > offsetOf(last.pos) && !(await this.#catchUp(from))) return then(LOST);
      const reached = offsetOf(this.#last!.pos);
      const { at, entries, more } = await this.#options.read({ from: from.pos, limit: PAGE });
      if (restarts !== this.#restarts) return then(LOST);
      if (!at || !isSameMark(at, from) || !this.#isUnbroken(from, entries)) return then(LOST);
      const end = offsetOf((entries.at(-1) ?? from).pos);
      // The log has been cut behind what was heard.
      if (this.#options.contiguous && !more && end < reached) return then(LOST);
      const base = offsetOf(this.#base!.pos);
      if ((more ? end : Math.max(end, reached)) >= base) {
        // From here on it is at hand; what is newer than that is on its way to everyone in the room.
        older.push(...entries.filter(({ pos }) => offsetOf(pos) <= base));
        return finish(this.#ring.filter(({ pos }) => offsetOf(pos) > offsetOf(from.pos)));
      }
      older.push(...entries);
      if (older.length > limit) return then(LOST);
      // Without any: what was at hand has been let go of meanwhile.
      from = entries.at(-1) ?? from;
    }
  }

  /** The last messages, if as many are at hand as are asked for. */
  latest(limit: number): readonly StoredEntry[] | undefined {
    const { ringSize, ttl } = this.#options;
    const isKept = limit <= ringSize && performance.now() - this.#heardAt < ttl;
    return this.isLive && isKept && this.#ring.length >= limit ? this.#ring.slice(-limit) : undefined;
  }

  get ringBytes(): number {
    return this.#ringBytes;
  }

  /** Forgets what it has at hand: it is read from the log when it is asked for. */
  trim(): void {
    this.#ring = [];
    this.#ringBytes = 0;
    this.#base = this.#last;
  }

  async #align(): Promise<void> {
    const { contiguous, top } = this.#options;
    let hole: Mark | undefined;
    for (let mustRead = contiguous; ; mustRead = true) {
      const outages = this.#outages;
      if (!this.#last) this.#restart(await top());
      else if (mustRead) await this.#fill();
      // What came after the link was lost is neither in there nor waiting.
      if (outages !== this.#outages) continue;
      const state = this.#drain();
      if (state === 'live') return;
      if (state !== 'hole') continue;
      // Heard, but not in the log, which has been read again: it has been put back to an earlier state.
      if (hole === this.#last) {
        this.#waiting = [];
        await this.#giveUp('what was heard is not in it any more');
      }
      hole = this.#last;
    }
  }

  /** Reads what was missed while nothing was heard. */
  async #fill(): Promise<void> {
    for (;;) {
      const last = this.#last!;
      const page = await this.#options.read({ from: last.pos, limit: PAGE });
      if (last !== this.#last) return; // It has been told that the log is another.
      if (!page.at || !isSameMark(page.at, last) || !this.#isUnbroken(last, page.entries)) {
        return this.#giveUp(page.at ? 'it has been replaced since' : 'what was said meanwhile is not kept any more');
      }
      for (const entry of page.entries) this.#take(entry);
      if (!page.more) return;
    }
  }

  /** Goes on at the end of the log, and says so. */
  async #giveUp(why: string): Promise<void> {
    const { pos } = this.#last!;
    const top = await this.#options.top();
    this.#restart(top);
    this.#options.gap(new Error(`the log of the room cannot be followed from ${pos}: ${why}`));
  }

  /**
   * Delivers what has waited. Unless that was all, the log has to be read again: a message is missing before another
   * (`hole`), or some were dropped or came out of another log (`behind`).
   */
  #drain(): 'live' | 'behind' | 'hole' {
    const waiting = this.#waiting ?? [];
    const overflowed = this.#overflowed;
    this.#overflowed = false;
    this.#waiting = [];
    const epoch = epochOf(this.#last!.pos);
    const own = waiting.filter(({ pos }) => epochOf(pos) === epoch);
    const newer = own.filter(({ pos }) => offsetOf(pos) > offsetOf(this.#last!.pos));
    for (const [index, { payload, pos }] of newer.entries()) {
      if (!this.#follows(pos)) {
        this.#waiting = newer.slice(index);
        return 'hole';
      }
      this.#take(lazyEntry(payload, pos));
    }
    if (overflowed || own.length < waiting.length) return 'behind';
    this.#waiting = undefined;
    return 'live';
  }

  #next(payload: Buffer, pos: Position): void {
    if (this.#follows(pos)) return this.#take(lazyEntry(payload, pos));
    if (!this.#options.contiguous && epochOf(pos) === epochOf(this.#last!.pos)) return; // a copy of what was heard
    this.#waiting = [{ payload, pos }];
    this.align().catch(() => undefined); // told as `stuck`
  }

  #follows(pos: Position): boolean {
    const last = this.#last!;
    if (epochOf(pos) !== epochOf(last.pos)) return false;
    const step = offsetOf(pos) - offsetOf(last.pos);
    return this.#options.contiguous ? step === 1 : step > 0;
  }

  #take(entry: StoredEntry): void {
    const { ringSize, ringBytes } = this.#options;
    const { payload, pos } = entry;
    this.#ring.push(entry);
    this.#ringBytes += payload.length;
    this.#last = entry;
    this.#heardAt = performance.now();
    if (this.#ringBytes > ringBytes) this.#options.full('ring');
    if (this.#ring.length > 2 * ringSize || this.#ringBytes > ringBytes) this.#shrink(ringSize, ringBytes);
    for (const resolve of this.#progress) resolve();
    this.#options.deliver(payload, pos);
  }

  #shrink(size: number, bytes: number): void {
    let drop = Math.max(0, this.#ring.length - size);
    let left = this.#ringBytes;
    this.#ring.forEach(({ payload }, index) => {
      if (index < drop || left > bytes / 2) {
        left -= payload.length;
        drop = Math.max(drop, index + 1);
      }
    });
    this.#base = this.#ring[drop - 1] ?? this.#base;
    this.#ring = this.#ring.slice(drop);
    this.#ringBytes = left;
  }

  #restart(at: Mark): void {
    this.#restarts++;
    this.#ring = [];
    this.#ringBytes = 0;
    this.#base = at;
    this.#last = at;
  }

  /** In a shared log: nothing of this room stands between its last message and there. */
  #reach(top: Mark): void {
    if (offsetOf(top.pos) <= offsetOf(this.#last!.pos)) return;
    this.#last = top;
    for (const resolve of this.#progress) resolve();
  }

  /** Gets to where somebody else has been. Returns whether it did. */
  async #catchUp(from: Mark): Promise<boolean> {
    const top = await this.#options.top();
    // Nobody can have seen it: or it was put back, and all that came since is gone.
    if (epochOf(top.pos) !== epochOf(from.pos) || offsetOf(top.pos) < offsetOf(from.pos)) return false;
    await this.compare(top);
    await this.#advanced(offsetOf(from.pos));
    return this.#last !== undefined && offsetOf(this.#last.pos) >= offsetOf(from.pos);
  }

  /** Resolves when the place has been reached, or after a while. */
  async #advanced(offset: number): Promise<void> {
    const until = performance.now() + PATIENCE;
    while (this.#last && offsetOf(this.#last.pos) < offset && performance.now() < until) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#progress.delete(done);
          resolve();
        };
        const timer = setTimeout(done, until - performance.now());
        this.#progress.add(done);
      });
    }
  }

  /** Where it is, if that is in the log that the mark is of. */
  #placeOf({ pos }: Mark): Mark | undefined {
    if (!this.#last) throw new BroadcastError('UNAVAILABLE', `the log of room ${this.#options.room} is not read yet`);
    return epochOf(this.#last.pos) === epochOf(pos) ? this.#last : undefined;
  }

  /** What is at hand after a place, if that place is at hand. */
  #after(place: Mark): readonly StoredEntry[] | undefined {
    const [base, last] = [this.#base!, this.#last!];
    if (isSameMark(last, place)) return [];
    if (isSameMark(base, place)) return this.#ring;
    const index = this.#ring.findIndex(({ pos }) => pos === place.pos);
    return index >= 0 && this.#ring[index]!.id === place.id ? this.#ring.slice(index + 1) : undefined;
  }

  #isUnbroken(from: Mark, entries: readonly LogEntry[]): boolean {
    if (!this.#options.contiguous) return true;
    return entries.every(({ pos }, index) => offsetOf(pos) === offsetOf(from.pos) + index + 1);
  }
}

/** The id is looked up when somebody asks for it: of most messages nobody does. */
export function lazyEntry(payload: Buffer, pos: Position, given?: string): StoredEntry {
  let id: string | undefined;
  return {
    payload,
    pos,
    get id() {
      return (id ??= idOf(payload, pos, given));
    },
  };
}
