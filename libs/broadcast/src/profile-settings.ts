/*
 * ROOM_PROFILES: settings for kinds of rooms, as JSON.
 * `{"support":{"history":{"size":1000,"ttl":"24h"},"slowMode":"10s"},"game":{"history":{"size":0}}}`
 */
import { z } from 'zod';
import { duration, lifetime } from './durations.js';
import { SLOW_POLICIES } from './profiles.js';

/** More members than clients can be shown the coming and going of. */
export const MAX_THRESHOLD = 10_000;
const DAY = 86_400_000;
const WHAT = 'JSON such as {"game":{"history":{"size":0}},"support":{"history":{"size":1000,"ttl":"24h"}}}';
const SIZE = 'a number of messages from 0 to 100000';
const TTL = 'a duration of at least 1s, such as "10m", or as many ms';
const THRESHOLD = `a number of members from 0 to ${MAX_THRESHOLD}`;
const SLOW_MODE = 'a duration such as "10s", or a number of ms up to a day';

/** What the JSON may hold; also what the Helm chart takes in its place. */
export const profileSettings = z.record(
  z.string(),
  object({
    history: object({
      size: z.int(SIZE).min(0, SIZE).max(100_000, SIZE).optional(),
      ttl: z.union([z.number(TTL).min(1_000, TTL), lifetime()], TTL).optional(),
    }).optional(),
    presence: object({
      threshold: z.int(THRESHOLD).min(0, THRESHOLD).max(MAX_THRESHOLD, THRESHOLD).optional(),
    }).optional(),
    slow: z.enum(SLOW_POLICIES, either(SLOW_POLICIES)).optional(),
    slowMode: z.union([z.number(SLOW_MODE).min(0, SLOW_MODE).max(DAY, SLOW_MODE), duration()], SLOW_MODE).optional(),
  }),
  WHAT,
);

/** Each thing that is wrong is named by its place. */
export function profiles() {
  return z.string().transform((value, context): z.output<typeof profileSettings> => {
    const { success, data, error } = profileSettings.safeParse(parseJson(value));
    if (success) return data;
    for (const issue of error.issues) {
      const places = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
      for (const path of places) context.addIssue({ code: 'custom', path, message: issue.message });
    }
    return z.NEVER;
  });
}

function object<S extends z.ZodRawShape>(shape: S) {
  const known = either(Object.keys(shape));
  return z.strictObject(shape, {
    error: ({ code }) => (code === 'unrecognized_keys' ? `no such key, but ${known}` : `an object with ${known}`),
  });
}

function either(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
