/*
 * What moderators may ask, as schemas: by sockets and by HTTP the same.
 */
import { z } from 'zod';
import { roomName, userName } from '../requests.js';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
/** Ten years, in ms: what is longer is for good. */
const LONGEST = 10 * 365 * 86_400_000;
const DAY = 86_400_000;

const reason = z.string('a text').min(1, '1 to 200 characters').max(200, '1 to 200 characters').optional();
const duration = span(1, LONGEST, 'a duration of at most 10 years: in ms, or such as 30s, 10m, 24h, 7d');

/**
 * Whom it is about, and where: without a room, everywhere. Unknown fields are refused, as nowhere else: a mistyped duration
 * would be for good.
 */
export const subject = z.strictObject({ user: userName, room: roomName.optional() });
export const kickRequest = subject.extend({ reason });
/** Without a duration: for good. */
export const restrictRequest = subject.extend({ reason, duration: duration.optional() });
export const slowRequest = z.strictObject({
  room: roomName,
  /** 0: off, whatever the profile says. `null`: as the profile says. */
  interval: span(
    0,
    DAY,
    'a while of at most a day: in ms, or such as 10s, 1m; 0, or null for that of the profile',
  ).nullable(),
  duration: duration.optional(),
  reason,
});
/** By HTTP, where the path says about whom and where. */
export const restrictBody = restrictRequest.omit({ user: true, room: true });
export const kickBody = kickRequest.omit({ room: true });
export const slowBody = slowRequest.omit({ room: true });
export const restrictionsRequest = z.object({
  room: roomName.optional(),
  user: userName.optional(),
  limit: z.coerce.number('1 to 1000').int('1 to 1000').min(1, '1 to 1000').max(1_000, '1 to 1000').default(100),
});

export type Restrict = z.output<typeof restrictRequest>;
export type Slow = z.output<typeof slowRequest>;

function span(min: number, max: number, what: string) {
  const text = z
    .string()
    .regex(/^\d{1,9}(ms|s|m|h|d)$/)
    .transform((value) => {
      const [, amount, unit] = /^(\d+)(\w+)$/.exec(value) as unknown as [string, string, keyof typeof UNITS];
      return Number(amount) * UNITS[unit];
    });
  return z.union([z.int(what), text], what).refine((ms) => ms >= min && ms <= max, what);
}
