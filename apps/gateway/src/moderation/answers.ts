/*
 * What moderators and those who are moderated are told, as schemas: for the documents at /docs.
 */
import { z } from 'zod';
import { refusal } from '../answers.js';
import { CLOSED_REASONS } from '../sessions.js';

const ok = z.literal(true);
const time = z.number().meta({ description: 'Milliseconds since 1970.' });
const until = time.optional().meta({ description: 'When it ends, in ms since 1970; left out where it is for good.' });
const room = z.string().optional().meta({ description: 'Left out where it is about every room.' });
const interval = z.number().meta({ description: 'The while between two messages of a user, in ms. 0: none.' });
const retryAfter = z.number().optional().meta({ description: 'When to try again, in ms.' });

export const restriction = z.object({
  kind: z.enum(['mute', 'ban', 'slow']),
  room,
  user: z.string().optional(),
  interval: interval.optional(),
  until,
  reason: z.string().optional(),
  by: z.string().optional(),
  at: time,
});
export const liftedAnswer = z.object({ lifted: z.boolean().meta({ description: 'Whether there was one.' }) });
export const slowAnswer = z.object({ interval });
export const restrictionsAnswer = z.object({
  restrictions: z.array(restriction).meta({ description: 'The latest first.' }),
});
export const kickedAnswer = z.object({});

// To sockets

export const renewedAnswer = z.object({ ok, expiresAt: time.optional() });
export const restrictedAck = z.object({ ok, restriction });
export const liftedAck = z.object({ ok, ...liftedAnswer.shape });
export const kickedAck = z.object({ ok });
export const slowAck = z.object({ ok, ...slowAnswer.shape });
export const restrictionsAck = z.object({ ok, ...restrictionsAnswer.shape });

export const closedPush = z.object({
  room: z.string(),
  reason: z.enum(CLOSED_REASONS),
  message: z.string().optional().meta({ description: 'For people.' }),
  retryAfter,
});
export const moderationPush = z.object({
  kind: z.enum(['mute', 'slow']),
  room,
  interval: interval.optional(),
  until,
  reason: z.string().optional(),
  lifted: z.literal(true).optional(),
});
export const reauthPush = z.object({ expiresAt: time, graceMs: z.number().meta({ description: 'So long from now.' }) });
export const closedServerPush = refusal;
