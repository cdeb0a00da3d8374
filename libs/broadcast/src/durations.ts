/*
 * Durations as the environment has them: a number and a unit.
 */
import { z } from 'zod';
import { range } from './range.js';

export const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
export type Unit = keyof typeof UNITS;
/** Nine digits of anything. */
const MOST = 999_999_999;

/** `500ms`, `25s`, … in ms. */
export function duration() {
  return written('a duration such as 500ms, 25s, 10m or 1h', /^\d{1,9}(ms|s|m|h)$/);
}

/** Brokers forget in seconds. */
export function lifetime() {
  return durationFrom('a duration of at least 1s, such as 25s, 10m or 1h', 1_000);
}

/** A duration that is neither shorter nor longer; in ms. */
export function durationFrom(what: string, min: number, max = Infinity) {
  const parts = Object.entries(UNITS)
    .map(([unit, size]) => ({ unit, from: Math.ceil(min / size), to: Math.min(MOST, Math.floor(max / size)) }))
    .filter(({ from, to }) => from <= to)
    .map(({ unit, from, to }) => `${range(from, to)}${unit}`);
  return written(what, new RegExp(`^(${parts.join('|')})$`));
}

function written(what: string, pattern: RegExp) {
  return z
    .string(what)
    .regex(pattern, what)
    .transform((value) => {
      const [, amount, unit] = /^(\d+)(\w+)$/.exec(value) as unknown as [string, string, Unit];
      return Number(amount) * UNITS[unit];
    });
}
