/*
 * What servers say to each other about who is in rooms, checked: it comes from other versions, and from whoever can publish
 * at the broker. docs/protocol.md describes it.
 *
 *   told    [n, [[room, count] | [room, count, users] | [room, count, joined, left], …]]    n: 1, 2, 3 …
 *   asked   [room, …]
 *   answer  [n, [[room, count] | [room, count, users], …]]    without the rooms that nobody is in
 */
import { BroadcastError } from '../errors.js';

/** One room, as it is (too many members to be named; all of them by name), or what has changed in it. */
export type RoomWord =
  | readonly [room: string, count: number]
  | readonly [room: string, count: number, users: readonly string[]]
  | readonly [room: string, count: number, joined: readonly string[], left: readonly string[]];

export interface Telling {
  /** How much the server has told before and with this. */
  n: number;
  words: readonly RoomWord[];
}

/** @throws BroadcastError `UNREADABLE` */
export function readTelling(value: unknown): Telling {
  if (!Array.isArray(value) || value.length !== 2) throw unreadable();
  const [n, words] = value as unknown[];
  if (!isCount(n) || !Array.isArray(words) || !words.every(isWord)) throw unreadable();
  return { n, words };
}

/** @throws BroadcastError `UNREADABLE` */
export function readRooms(value: unknown): readonly string[] {
  if (!isTexts(value)) throw unreadable();
  return value;
}

function isWord(word: unknown): word is RoomWord {
  if (!Array.isArray(word) || word.length < 2 || word.length > 4) return false;
  const [room, count, ...lists] = word as unknown[];
  return typeof room === 'string' && isCount(count) && lists.every(isTexts);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function unreadable(): BroadcastError {
  return new BroadcastError('UNREADABLE', 'it does not say who is in which room');
}
