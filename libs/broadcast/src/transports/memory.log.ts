/*
 * Histories of rooms in this process: a bounded list for each, forgotten a while after its last message.
 */
import { epochOf, newEpoch, offsetOf, positionOf, type Mark, type Position } from '../position.js';
import type { AppendOptions, LogEntry, LogPage, ReadOptions } from '../transport.js';

interface RoomHistory {
  readonly epoch: string;
  top: Mark;
  /** The last `size` of them, and some that are trimmed later. */
  entries: LogEntry[];
  size: number;
  /** The positions of ids that were appended lately, oldest first. */
  readonly ids: Map<string, { pos: Position; at: number }>;
  /** When its messages are, and when the rest of it may be forgotten, in ms since the process began. */
  expires: number;
  forgotten: number;
}

/** How long the id of the last message is known after the history is gone, in ms: resuming at the end stays possible. */
const AFTERLIFE = 60 * 60_000;
/** Trimming copies the list: it is done when it has grown by this much, in messages. */
const SLACK = 64;

export class MemoryLog {
  /** The longest unused first. */
  readonly #rooms = new Map<string, RoomHistory>();

  /** @returns the position, and whether the message is new */
  append(
    room: string,
    payload: Buffer,
    { id, size, ttl }: AppendOptions,
    idWindow: number,
  ): { pos: Position; isNew: boolean } {
    const now = performance.now();
    const history = this.#of(room, now);
    this.#sweep(now);
    for (const [old, { at }] of history.ids) {
      if (now - at < idWindow) break;
      history.ids.delete(old);
    }
    const known = history.ids.get(id);
    if (known) return { pos: known.pos, isNew: false };
    const pos = positionOf(history.epoch, offsetOf(history.top.pos) + 1);
    history.top = { pos, id };
    history.ids.set(id, { pos, at: now });
    history.entries.push({ pos, id, payload });
    history.size = size;
    if (history.entries.length > size + SLACK) history.entries = history.entries.slice(-size);
    history.expires = now + ttl;
    this.#keep(room, history, history.expires);
    return { pos, isNew: true };
  }

  read(room: string, { from, before, limit }: ReadOptions): LogPage {
    const { epoch, entries: all, size, top } = this.#of(room, performance.now());
    const entries = all.length > size ? all.slice(-size) : all;
    const place = from ?? before;
    if (place !== undefined && epochOf(place) !== epoch) return { entries: [], more: before !== undefined };
    const first = offsetOf(top.pos) - entries.length + 1;
    if (from !== undefined) {
      const index = offsetOf(from) - first;
      const start = Math.max(0, index + 1);
      const isStart = offsetOf(from) === 0 && first === 1 && entries.length > 0;
      const at = from === top.pos ? top : isStart ? { pos: from } : markOf(entries[index]);
      return { at, entries: entries.slice(start, start + limit), more: start + limit < entries.length };
    }
    const end = before === undefined ? entries.length : Math.min(entries.length, Math.max(0, offsetOf(before) - first));
    const start = Math.max(0, end - limit);
    return { entries: entries.slice(start, end), more: start > 0 };
  }

  top(room: string): Mark {
    const now = performance.now();
    const history = this.#of(room, now);
    // Of a room that somebody looks at nothing is forgotten but its messages.
    this.#keep(room, history, now);
    return history.top;
  }

  #of(room: string, now: number): RoomHistory {
    const known = this.#rooms.get(room);
    if (known) {
      if (now > known.expires) known.entries = [];
      return known;
    }
    const epoch = newEpoch();
    const top = { pos: positionOf(epoch, 0) };
    const made = { epoch, top, entries: [], size: 0, ids: new Map(), expires: now, forgotten: now + AFTERLIFE };
    this.#rooms.set(room, made);
    return made;
  }

  #keep(room: string, history: RoomHistory, until: number): void {
    history.forgotten = Math.max(history.forgotten, until + AFTERLIFE);
    this.#rooms.delete(room);
    this.#rooms.set(room, history);
  }

  #sweep(now: number): void {
    for (const [room, { forgotten }] of this.#rooms) {
      if (now < forgotten) return;
      this.#rooms.delete(room);
    }
  }
}

function markOf(entry: LogEntry | undefined): Mark | undefined {
  return entry && { pos: entry.pos, id: entry.id };
}
