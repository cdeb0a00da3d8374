/*
 * The history of a room, out of the stream of all rooms: from where it begins to where it ends as far as its places are known,
 * and looked for where they are not.
 */
import type { ConsumeMessage } from 'amqplib';
import { epochOf, offsetOf, type Position } from '../position.js';
import type { LogPage, ReadOptions } from '../transport.js';
import { entry, EPOCH, offset, position } from './rabbitmq.entries.js';
import type { StreamIds } from './rabbitmq.ids.js';
import type { Places } from './rabbitmq.places.js';
import { FARTHEST, type Scanned, type StreamScans } from './rabbitmq.scans.js';

const EPOCH_START = position(0);
const NOTHING: Scanned = { messages: [], skipped: false };

/** What has been heard of the stream so far. */
export interface Heard {
  readonly last?: { readonly offset: number; readonly message: ConsumeMessage };
  readonly ids: StreamIds;
  readonly places: Places;
}

export class StreamReads {
  readonly #scans: StreamScans;
  readonly #heard: Heard;

  constructor(scans: StreamScans, heard: Heard) {
    this.#scans = scans;
    this.#heard = heard;
  }

  /** @param key the room's routing key */
  async read(key: string, { from, before, limit }: ReadOptions): Promise<LogPage> {
    const end = this.#heard.last?.offset ?? -1;
    if (epochOf(from ?? before ?? EPOCH_START) !== EPOCH) return { entries: [], more: before !== undefined };
    if (from !== undefined) return this.#readOn(key, { from, end, limit });
    const stop = before === undefined ? end : Math.min(end, offsetOf(before) - 2);
    const found = await this.#lastOf(key, stop, limit + 1);
    const entries = found.messages.map(entry);
    return { entries: entries.slice(-limit), more: entries.length > limit || found.more };
  }

  /** What is at a place, and the messages of a room after it. */
  async #readOn(key: string, { from, end, limit }: { from: Position; end: number; limit: number }): Promise<LogPage> {
    const start = offsetOf(from) - 1;
    if (start > end) return { entries: [], more: false };
    const { last, places, ids } = this.#heard;
    if (last && start === last.offset) return { at: entry(last.message), entries: [], more: false };
    // One more than is asked for.
    const known = places.between(key, start + 1, end).slice(0, limit + 1);
    const isKnown = places.from !== undefined && places.from <= start + 1;
    const begin = isKnown ? known[0] : start + 1;
    // Nobody would wait for more than this. Where nothing is known of it, it counts as what is not kept any more.
    const farthest = (begin ?? 0) + FARTHEST;
    const stop = known.findLast((offset) => offset <= farthest) ?? (places.from ?? Infinity) - 1;
    const isFar = known.some((offset) => offset > farthest);
    if (!isKnown && (isFar || Math.min(stop, end) > farthest)) return { entries: [], more: true };
    const [{ first }, { messages, skipped }] = await Promise.all([
      this.#scans.scan({ key, start, end: Math.max(0, start), limit: 1 }),
      begin === undefined || begin > end
        ? NOTHING
        : this.#scans.scan({ key, start: begin, end: Math.min(stop, end), limit: limit + 1 }),
    ]);
    if (skipped) return { entries: [], more: true };
    const found = first && offset(first) === start ? first : undefined;
    // All streams begin alike. Nobody can have seen of which one this is the start: the id fits no one who comes back.
    const isStart = start < 0 && (!first || offset(first) === 0);
    const at = found ? entry(found) : isStart ? { pos: from, id: '' } : undefined;
    const after = ids.firstCopies(found ? [found, ...messages] : messages).filter((message) => message !== found);
    return {
      at,
      entries: after.slice(0, limit).map(entry),
      more: isFar || after.length > limit || messages.length > limit,
    };
  }

  /** The last messages of a room up to an offset: those whose places are known are not looked for. */
  async #lastOf(key: string, end: number, limit: number): Promise<{ messages: ConsumeMessage[]; more: boolean }> {
    const { places, ids } = this.#heard;
    const known = places.between(key, 0, end).slice(-limit);
    const [start, last] = [known[0], known.at(-1)];
    const [recent, older] = await Promise.all([
      start === undefined || last === undefined
        ? undefined
        : this.#scans.scan({ key, start, end: last, limit: Infinity }),
      known.length === limit
        ? undefined
        : this.#scans.scanBack({
            key,
            start: end - FARTHEST,
            end: Math.min(end, (places.from ?? Infinity) - 1),
            limit: limit - known.length,
            keep: (messages) => ids.firstCopies(messages),
          }),
    ]);
    // What is older than what was cut meanwhile is not kept any more either.
    const before = recent?.skipped ? undefined : older;
    const messages = ids.firstCopies([...(before?.messages ?? []), ...(recent?.messages ?? [])]);
    return { messages, more: before?.more ?? false };
  }
}
