/*
 * Message ids: 26 characters that sort by time (the ULID format: 48 bits of milliseconds, 80 random bits, Crockford's
 * base 32).
 */
import { randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const RANDOM_CHARACTERS = 16;

/** Random characters are drawn in bulk: one call per id costs more than the rest of encoding a message. */
const pool = Buffer.allocUnsafe(RANDOM_CHARACTERS * 256);
let used = pool.length;
/** The part that all ids of the same millisecond begin with. */
let begun = { at: NaN, characters: '' };

/** A new id. @param now milliseconds since 1970 */
export function ulid(now = Date.now()): string {
  if (used === pool.length) {
    randomFillSync(pool);
    for (let i = 0; i < pool.length; i++) pool[i] = ALPHABET.charCodeAt(pool[i]! & 31);
    used = 0;
  }
  if (now !== begun.at) begun = { at: now, characters: timeOf(now) };
  return begun.characters + pool.toString('latin1', used, (used += RANDOM_CHARACTERS));
}

function timeOf(now: number): string {
  let characters = '';
  for (let rest = now, i = 0; i < 10; i++, rest = Math.floor(rest / 32))
    characters = ALPHABET.charAt(rest % 32) + characters;
  return characters;
}
