/*
 * What the HTTP API is asked, as schemas: made of those of the sockets' requests, so that both take the same.
 */
import { z } from 'zod';
import { historyRequest, roomName, sendRequest, userName } from '../requests.js';

const MAX_ROOMS = 10_000;
const ROOMS_RULE = `1 to ${MAX_ROOMS} names of rooms`;
const MAX_PAGE = 1_000;
const PAGE_RULE = `1 to ${MAX_PAGE}`;

export const roomParams = z.object({ room: roomName });
export const memberParams = roomParams.extend({ user: userName });

export const messageBody = sendRequest.omit({ room: true });
export const broadcastBody = messageBody.extend({
  rooms: z.array(roomName, ROOMS_RULE).min(1, ROOMS_RULE).max(MAX_ROOMS, ROOMS_RULE),
});

/** Of the messages of a room: `historyRequest` without the room, which is in the path. */
export const messagesQuery = z.object(historyRequest.shape).omit({ room: true });
export const roomsQuery = z.object({
  after: z
    .string()
    .max(1_024, 'at most 1024 characters')
    .optional()
    .meta({ description: 'The name of the last room of the page before.' }),
  limit: z.int(PAGE_RULE).min(1, PAGE_RULE).max(MAX_PAGE, PAGE_RULE).default(100),
});
