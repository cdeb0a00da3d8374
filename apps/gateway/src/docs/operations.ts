/*
 * What there is over HTTP: each operation with what it takes and what it answers, as the OpenAPI document shows it. A test
 * holds this against the routes and their answers.
 */
import type { z } from 'zod';
import type { AnswerCode } from '../answer.js';
import {
  broadcastAnswer,
  history,
  instancesAnswer,
  liveAnswer,
  membersAnswer,
  published,
  readyAnswer,
  removedAnswer,
  roomAnswer,
  roomsAnswer,
} from '../answers.js';
import {
  broadcastBody,
  memberParams,
  messageBody,
  messagesQuery,
  roomParams,
  roomsQuery,
} from '../http/http-requests.js';
import { MODERATION } from './moderation.operations.js';

export interface Operation {
  id: string;
  method: 'get' | 'post' | 'put' | 'delete';
  /** As Express writes it: `/v1/rooms/:room`. */
  path: string;
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Whether the header `Idempotency-Key` names the message. */
  idempotent?: boolean;
  answers: Readonly<Record<number, { description: string; schema: z.ZodType }>>;
  /** Left out: open to everyone. */
  refusals?: readonly AnswerCode[];
}

/** Every request to the API may be refused with these. */
const ALWAYS = ['BAD_REQUEST', 'UNAUTHENTICATED', 'RATE_LIMITED', 'INTERNAL'] as const satisfies AnswerCode[];
const ONCE =
  'The same `id`, in the body or as `Idempotency-Key`, is the same message in its room: send a request again with it, ' +
  'and nobody hears the message twice.';

export const OPERATIONS: readonly Operation[] = [
  {
    id: 'publish',
    method: 'post',
    path: '/v1/rooms/:room/messages',
    summary: 'Say something in a room',
    description: `Answered when the broker has accepted it; in a room with history, when it is stored. ${ONCE}`,
    params: roomParams,
    body: messageBody,
    idempotent: true,
    answers: { 201: { description: 'It is published.', schema: published } },
    refusals: [...ALWAYS, 'TOO_LARGE', 'UNAVAILABLE'],
  },
  {
    id: 'broadcast',
    method: 'post',
    path: '/v1/broadcasts',
    summary: 'Say one thing in each of many rooms',
    description:
      'Each room has a result of its own. A socket in two of the rooms hears it in both. Where no room could take it, ' +
      `because the broker is away, the whole request is refused. ${ONCE}`,
    body: broadcastBody,
    idempotent: true,
    answers: { 200: { description: 'What has become of it, room by room.', schema: broadcastAnswer } },
    refusals: [...ALWAYS, 'TOO_LARGE', 'UNAVAILABLE'],
  },
  {
    id: 'messages',
    method: 'get',
    path: '/v1/rooms/:room/messages',
    summary: 'Read what was said in a room with history',
    description: 'The last messages, those before a position, or those after one; not both.',
    params: roomParams,
    query: messagesQuery,
    answers: { 200: { description: 'Messages.', schema: history } },
    refusals: [...ALWAYS, 'UNAVAILABLE'],
  },
  {
    id: 'rooms',
    method: 'get',
    path: '/v1/rooms',
    summary: 'List the rooms that somebody is in, page by page',
    query: roomsQuery,
    answers: { 200: { description: 'A page.', schema: roomsAnswer } },
    refusals: ALWAYS,
  },
  {
    id: 'room',
    method: 'get',
    path: '/v1/rooms/:room',
    summary: 'See how many are in a room, and how much of it is kept',
    description: 'A room is there as soon as it is named: nobody needs to be in it.',
    params: roomParams,
    answers: { 200: { description: 'The room.', schema: roomAnswer } },
    refusals: ALWAYS,
  },
  {
    id: 'members',
    method: 'get',
    path: '/v1/rooms/:room/members',
    summary: 'See who is in a room',
    params: roomParams,
    answers: { 200: { description: 'Its members.', schema: membersAnswer } },
    refusals: ALWAYS,
  },
  {
    id: 'removeMember',
    method: 'delete',
    path: '/v1/rooms/:room/members/:user',
    summary: 'Take a user out of a room, on all instances',
    description: 'All of the user’s sockets leave the room and are told `room:closed`. They may join again.',
    params: memberParams,
    answers: { 200: { description: 'The user is out.', schema: removedAnswer } },
    refusals: [...ALWAYS, 'NOT_FOUND', 'UNAVAILABLE'],
  },
  ...MODERATION,
  {
    id: 'instances',
    method: 'get',
    path: '/v1/instances',
    summary: 'See which instances there are, as far as this one knows',
    answers: { 200: { description: 'The one that answers first.', schema: instancesAnswer } },
    refusals: ALWAYS,
  },
  {
    id: 'live',
    method: 'get',
    path: '/health/live',
    summary: 'Whether the process lives',
    answers: { 200: { description: 'It does.', schema: liveAnswer } },
  },
  {
    id: 'ready',
    method: 'get',
    path: '/health/ready',
    summary: 'Whether the instance should get traffic',
    answers: {
      200: { description: 'It should.', schema: readyAnswer },
      503: { description: 'It should not: not connected yet, or about to end.', schema: readyAnswer },
    },
  },
];
