/*
 * What clients may ask, as schemas. A request that does not fit is refused with a sentence that says what was expected.
 */
import { isReservedEvent, POSITION } from '@app/broadcast';
import { z } from 'zod';
import { RequestError } from './answer.js';

const NAME = /^[\w:.@-]{1,128}$/;
const NAME_RULE = '1 to 128 of A-Z a-z 0-9 _ : . @ -';

export const roomName = z.string('a string').regex(NAME, NAME_RULE).meta({ description: 'The name of a room.' });
const room = roomName;

export const position = z
  .string('a position: the pos of a message')
  .regex(POSITION, 'a position: the pos of a message')
  .meta({ description: 'A place in the history of a room.' });
export const messageId = z
  .string('a string')
  .regex(/^[\x21-\x7e]{1,128}$/, '1 to 128 printable ASCII characters')
  .meta({ description: 'Names the message: the same again in the same room is the same message.' });
const id = messageId;
const MAX_HISTORY = 1_000;

export const joinRequest = z.object({
  room,
  /** The meta of the last message that was seen, or what the last join has answered. */
  since: z.object({ pos: position, id: id.optional() }, '{ pos, id } of the last message seen').optional(),
});
export const leaveRequest = z.object({ room });
export const sendRequest = z.object({
  room,
  event: z
    .string('a string')
    .min(1, '1 to 128 characters')
    .max(128, '1 to 128 characters')
    .regex(/^(?!(room|server):)/, 'a name that does not begin with room: or server:')
    .refine((event) => !isReservedEvent(event), 'a name that Socket.IO does not reserve'),
  data: z.unknown().optional(),
  id: id.optional(),
});
export const historyRequest = z
  .object({
    room,
    before: position.optional(),
    after: position.optional(),
    limit: z
      .int(`1 to ${MAX_HISTORY}`)
      .min(1, `1 to ${MAX_HISTORY}`)
      .max(MAX_HISTORY, `1 to ${MAX_HISTORY}`)
      .default(50),
  })
  .refine(({ before, after }) => before === undefined || after === undefined, {
    path: ['before'],
    message: 'either before or after, not both',
  });

export const presenceRequest = z.object({ room });

/** Who a client says it is, where anonymous access is on. */
export const userName = z.string('a string').regex(NAME, NAME_RULE);

export const renewRequest = z.object({ token: z.string('a string') });
export const infoRequest = z.object({});

/** The requests that there are. */
export const REQUESTS = [
  'room:join',
  'room:leave',
  'room:send',
  'room:history',
  'room:presence',
  'auth:renew',
  'room:mute',
  'room:unmute',
  'room:ban',
  'room:unban',
  'room:kick',
  'room:slow',
  'room:restrictions',
  'server:info',
] as const;

/** Of what is wrong with a request, so much is told. */
const MOST_TOLD = 10;

/** @throws RequestError `BAD_REQUEST`, naming the wrong fields and what was expected */
export function check<T>(schema: z.ZodType<T>, value: unknown, what = 'the request'): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const wrong = error.issues.map((issue) => {
    const { path, message } = issue;
    if (issue.code === 'unrecognized_keys') return `unknown field ${issue.keys.join(', ').slice(0, 100)}`;
    const field = [what === 'the request' ? '' : what, ...path].filter((part) => part !== '').join('.');
    return field === '' ? 'expected one object as the payload' : `${field}: expected ${message}`;
  });
  const told = [...new Set(wrong)];
  const more = told.length > MOST_TOLD ? `; and ${told.length - MOST_TOLD} more` : '';
  throw new RequestError('BAD_REQUEST', told.slice(0, MOST_TOLD).join('; ') + more);
}
