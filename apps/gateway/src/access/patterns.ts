/*
 * Which rooms somebody may do something in: names of rooms, beginnings of names such as `support:*`, or `*` for all.
 */
import { z } from 'zod';

/** More than a token needs: what goes in every handshake should be short. */
const MAX_PATTERNS = 100;
const RULE = `at most ${MAX_PATTERNS} rooms such as support:7, support:* or *`;

const list = z.array(z.string(RULE).regex(/^(?=.)[\w:.@-]{0,128}\*?$/, RULE), RULE).max(MAX_PATTERNS, RULE);

/** Rooms, as a claim names them. */
export const roomsClaim = list;
/** Rooms, or `true` for all of them, or `false` for none. */
export const rightClaim = z.union([z.boolean(), list], `true, false, or ${RULE}`);

export class Patterns {
  /** Whether every room is meant. */
  readonly all: boolean;
  readonly #rooms: ReadonlySet<string>;
  readonly #beginnings: readonly string[];

  constructor(given: boolean | readonly string[]) {
    const patterns = typeof given === 'boolean' ? (given ? ['*'] : []) : given;
    this.all = patterns.includes('*');
    this.#rooms = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
    this.#beginnings = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1));
  }

  match(room: string): boolean {
    return this.all || this.#rooms.has(room) || this.#beginnings.some((beginning) => room.startsWith(beginning));
  }
}
