/*
 * How long to wait before the next attempt: exponential, with full jitter, so that a fleet does not return as one
 * wave.
 *
 *   attempt 0 → 0-100 ms · 1 → 0-200 · 2 → 0-400 · … · 6 → 0-6.4 s · 7 and later → 0-10 s, anywhere in the range
 */

export interface BackoffOptions {
  /** Upper bound of the first wait, in ms. @default 100 */
  base?: number;
  /** Upper bound of every wait, in ms. @default 10_000 */
  max?: number;
  /** A number in [0, 1). @default Math.random */
  random?: () => number;
}

/** In ms, where nothing else is said. */
export const LONGEST_PAUSE = 10_000;

/** Milliseconds to wait before attempt number `attempt` (0 is the first retry). */
export function backoff(
  attempt: number,
  { base = 100, max = LONGEST_PAUSE, random = Math.random }: BackoffOptions = {},
) {
  return Math.floor(random() * Math.min(max, base * 2 ** Math.min(attempt, 30)));
}
