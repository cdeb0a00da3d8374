/*
 * Values of options, checked: each wrong one is one sentence.
 */
import { UsageError, type Values } from './command.js';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

export function textOf(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** @throws UsageError */
export function wholeNumber(values: Values, name: string, least = 1, most = 1_000_000): number | undefined {
  const text = textOf(values, name);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`--${name}: expected a whole number from ${least} to ${most}, not ${text}`);
}

/** In ms. @throws UsageError */
export function duration(values: Values, name: string): number | undefined {
  const text = textOf(values, name);
  if (text === undefined) return undefined;
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  if (amount === undefined) throw new UsageError(`--${name}: expected a time such as 500ms, 5s or 10m, not ${text}`);
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** @throws UsageError */
export function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${what}: expected JSON, such as '{"text":"hi"}' or '"hi"', not ${text}`);
  }
}
