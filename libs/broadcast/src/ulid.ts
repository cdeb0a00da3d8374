/*
 * Message ids: 26 characters that sort by time (the ULID format: 48 bits of milliseconds, 80 random bits, Crockford's
 * base 32).
 */
import { randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const RANDOM_CHARACTERS = 16;

/** Random bytes are drawn in bulk: one call per id costs more than the rest of encoding a message. */
const pool = Buffer.allocUnsafe(RANDOM_CHARACTERS * 256);
let used = pool.length;

/** A new id. @param now milliseconds since 1970 */
export function ulid(now = Date.now()): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let id = '';
  for (let rest = now, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) id = ALPHABET.charAt(rest % 32) + id;
  for (const end = used + RANDOM_CHARACTERS; used < end; used++) id += ALPHABET.charAt((pool[used] ?? 0) & 31);
  return id;
}
