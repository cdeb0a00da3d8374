/*
 * Values of options, checked: each wrong one is one sentence.
 */
import { RequestError } from '../../gateway/src/answer.js';
import { check as checkRequest } from '../../gateway/src/requests.js';
import { UsageError, type Values } from './command.js';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

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

/** @throws UsageError */
export function listOf(values: Values, name: string): readonly string[] {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

/** In ms. @param most such as `1m`; without it, what a timer can wait for @throws UsageError */
export function duration(values: Values, name: string, most = '24d'): number | undefined {
  const text = textOf(values, name);
  if (text === undefined) return undefined;
  const time = milliseconds(text);
  if (time === undefined) throw new UsageError(`--${name}: expected a time such as 500ms, 5s or 10m, not ${text}`);
  if (time > milliseconds(most)!) throw new UsageError(`--${name}: expected a time of at most ${most}, not ${text}`);
  return time;
}

function milliseconds(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNITS[unit as keyof typeof UNITS];
}

/** @throws UsageError */
export function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${what}: expected JSON, such as '{"text":"hi"}' or '"hi"', not ${text}`);
  }
}

/** By a schema of the gateway's. @throws UsageError */
export function check(schema: Parameters<typeof checkRequest>[0], value: unknown): void {
  try {
    checkRequest(schema, value);
  } catch (error) {
    throw error instanceof RequestError ? new UsageError(error.message) : error;
  }
}
