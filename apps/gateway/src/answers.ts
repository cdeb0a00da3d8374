/*
 * What clients and services are told, as schemas: the documents at /docs are made of them, and tests hold every answer
 * against them.
 */
import { POSITION } from '@app/broadcast';
import { z } from 'zod';
import { ANSWER_CODES } from './answer.js';

const time = z.number().meta({ description: 'Milliseconds since 1970.' });
const pos = z.string().regex(POSITION).meta({ description: 'The place in the history of the room.' });
const id = z.string().meta({ description: 'Names the message, in its room.' });
const count = z.int().min(0);
const user = z.string();
const complete = z.boolean().meta({ description: 'Whether every instance has said its part.' });

export const refusal = z.object({
  code: z.enum(ANSWER_CODES),
  message: z.string().meta({ description: 'What was wrong, and what was expected.' }),
  retryAfter: z.number().optional().meta({ description: 'When to try again, in ms.' }),
});
/** Over HTTP. */
export const errorAnswer = z.object({ error: refusal });
/** To a request of a socket. */
export const refusedAnswer = z.object({ ok: z.literal(false), error: refusal });

/** What comes with a message. */
export const meta = z.object({
  room: z.string(),
  id: id.optional(),
  at: time.optional(),
  from: user.optional(),
  pos: pos.optional(),
});
/** A message out of a room's history. */
export const storedMessage = z.object({
  event: z.string(),
  data: z.unknown(),
  room: z.string(),
  id,
  at: time.optional(),
  from: user.optional(),
  pos,
});

export const published = z.object({ id, pos: pos.optional() });
export const history = z.object({
  messages: z.array(storedMessage).meta({ description: 'Oldest first.' }),
  complete: z
    .boolean()
    .meta({ description: 'Whether nothing is left out, neither beyond the limit nor because it is not kept.' }),
});
export const presence = z.object({
  count: count.meta({ description: 'Users in the room.' }),
  members: z
    .array(user)
    .optional()
    .meta({ description: 'Who they are; left out where there are more than PRESENCE_THRESHOLD.' }),
  complete,
});

// Answers to services

export const broadcastAnswer = z.object({
  results: z
    .array(
      z.union([
        z.object({ room: z.string(), ok: z.literal(true), id, pos: pos.optional() }),
        z.object({ room: z.string(), ok: z.literal(false), error: refusal }),
      ]),
    )
    .meta({ description: 'One for each room, in their order; a room that is named twice hears it once.' }),
});
export const roomsAnswer = z.object({
  rooms: z.array(z.object({ room: z.string(), sockets: count })).meta({ description: 'By name.' }),
  next: z.string().optional().meta({ description: 'Ask for what comes after it; left out on the last page.' }),
  complete,
});
export const roomAnswer = z.object({
  room: z.string(),
  count: count.meta({ description: 'Users in the room.' }),
  sockets: count.meta({ description: 'Sockets in the room: a user may have several.' }),
  complete,
  history: z
    .object({ size: count.meta({ description: 'Messages.' }), ttl: z.number().meta({ description: 'Milliseconds.' }) })
    .optional()
    .meta({ description: 'How much of the room is kept; left out where nothing is.' }),
});
export const membersAnswer = z.object({ room: z.string(), ...presence.shape });
export const removedAnswer = z.object({
  room: z.string(),
  user,
  sockets: count.meta({ description: 'How many of the user’s sockets have left the room.' }),
});
export const instancesAnswer = z.object({
  instances: z.array(z.object({ id: z.string(), role: z.string(), version: z.string(), startedAt: time })),
});
export const liveAnswer = z.object({ status: z.literal('ok'), instance: z.string() });
export const readyAnswer = z.looseObject({
  status: z.enum(['ok', 'unavailable']),
  instance: z.string(),
  draining: z.boolean(),
  broker: z.looseObject({ transport: z.string(), state: z.string() }),
});

// Answers to sockets

const ok = z.literal(true);
export const joinAnswer = z.object({
  ok,
  room: z.string(),
  count: count.meta({ description: 'Sockets in the room.' }),
  pos: pos.optional(),
  id: id.optional(),
  recovered: z.boolean().optional().meta({ description: 'Whether these are all messages after `since`.' }),
  missed: z.array(storedMessage).optional().meta({ description: 'The messages after `since`, oldest first.' }),
});
export const infoAnswer = z.object({ ok: z.literal(true), instance: z.string(), transport: z.string() });
export const leaveAnswer = z.object({ ok });
export const sendAnswer = z.object({ ok, ...published.shape });
export const historyAnswer = z.object({ ok, ...history.shape });
export const presenceAnswer = z.object({ ok, ...presence.shape });

// Pushes to sockets

export const messagePush = z
  .tuple([z.unknown(), meta])
  .meta({ description: 'The two arguments of the event, which has the name that was sent: data and meta.' });
export const presencePush = z.object({
  room: z.string(),
  count,
  joined: z.array(user).optional(),
  left: z.array(user).optional(),
});
export const roomReason = z.object({ room: z.string(), reason: z.string() });
export const drainPush = z.object({ retryAfter: z.number().meta({ description: 'When to connect again, in ms.' }) });
