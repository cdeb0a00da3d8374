/*
 * The operations of moderation over HTTP: each is about a room, or about all of them.
 */
import type { AnswerCode } from '../answer.js';
import { memberParams, roomParams } from '../http/http-requests.js';
import { kickedAnswer, liftedAnswer, restriction, restrictionsAnswer, slowAnswer } from '../moderation/answers.js';
import { kickBody, restrictBody, restrictionsRequest, slowBody } from '../moderation/requests.js';
import type { Operation } from './operations.js';

const REFUSALS: readonly AnswerCode[] = ['BAD_REQUEST', 'UNAUTHENTICATED', 'RATE_LIMITED', 'UNAVAILABLE', 'INTERNAL'];
const userParams = memberParams.omit({ room: true });

export const MODERATION: readonly Operation[] = [
  ...both('ban', 'bans', 'Ban a user', 'Let a banned user in again'),
  ...both('mute', 'mutes', 'Mute a user', 'Let a muted user speak again'),
  {
    id: 'kick',
    method: 'post',
    path: '/v1/kicks',
    summary: 'Close all connections of a user, who may come back',
    body: kickBody,
    answers: {
      200: { description: 'All instances are told, whether the user is there or not.', schema: kickedAnswer },
    },
    refusals: REFUSALS,
  },
  {
    id: 'kickFromRoom',
    method: 'post',
    path: '/v1/rooms/:room/kicks',
    summary: 'Send a user out of a room, who may come back',
    params: roomParams,
    body: kickBody,
    answers: {
      200: { description: 'All instances are told, whether the user is there or not.', schema: kickedAnswer },
    },
    refusals: REFUSALS,
  },
  {
    id: 'slowMode',
    method: 'put',
    path: '/v1/rooms/:room/slow-mode',
    summary: 'Change how slowly is spoken in a room',
    params: roomParams,
    body: slowBody,
    answers: { 200: { description: 'What holds now.', schema: slowAnswer } },
    refusals: REFUSALS,
  },
  {
    id: 'endSlowMode',
    method: 'delete',
    path: '/v1/rooms/:room/slow-mode',
    summary: 'Go back to what the profile of the room says',
    params: roomParams,
    answers: { 200: { description: 'What holds now.', schema: slowAnswer } },
    refusals: REFUSALS,
  },
  {
    id: 'restrictions',
    method: 'get',
    path: '/v1/restrictions',
    summary: 'See who is banned or muted, and which rooms are slow',
    query: restrictionsRequest,
    answers: { 200: { description: 'What holds.', schema: restrictionsAnswer } },
    refusals: REFUSALS,
  },
];

/** Deciding and lifting, in a room and everywhere. */
function both(id: string, path: string, decide: string, lift: string): Operation[] {
  return [
    ...pair(id, `/v1/${path}/:user`, userParams, [`${decide} everywhere`, `${lift} everywhere`]),
    ...pair(`${id}InRoom`, `/v1/rooms/:room/${path}/:user`, memberParams, [
      `${decide} in a room`,
      `${lift}, in a room`,
    ]),
  ];
}

function pair(
  id: string,
  path: string,
  params: Operation['params'],
  [decide, lift]: [string, string],
): [Operation, Operation] {
  return [
    {
      id,
      method: 'put',
      path,
      summary: decide,
      description: 'Without a `duration` it is for good. Decided again, it takes the place of what was decided before.',
      params,
      body: restrictBody,
      answers: { 200: { description: 'It holds, on all instances.', schema: restriction } },
      refusals: REFUSALS,
    },
    {
      id: `un${id}`,
      method: 'delete',
      path,
      summary: lift,
      params,
      answers: { 200: { description: 'It holds no more.', schema: liftedAnswer } },
      refusals: REFUSALS,
    },
  ];
}
