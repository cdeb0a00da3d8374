/*
 * The AsyncAPI document of what sockets ask, are answered and hear, made of the schemas that requests are checked with.
 */
import { z } from 'zod';
import {
  drainPush,
  historyAnswer,
  infoAnswer,
  joinAnswer,
  leaveAnswer,
  messagePush,
  presenceAnswer,
  presencePush,
  refusedAnswer,
  roomReason,
  sendAnswer,
} from '../answers.js';
import {
  closedPush,
  closedServerPush,
  kickedAck,
  liftedAck,
  moderationPush,
  reauthPush,
  renewedAnswer,
  restrictedAck,
  restrictionsAck,
  slowAck,
} from '../moderation/answers.js';
import { kickRequest, restrictionsRequest, restrictRequest, slowRequest, subject } from '../moderation/requests.js';
import {
  historyRequest,
  infoRequest,
  joinRequest,
  leaveRequest,
  presenceRequest,
  renewRequest,
  REQUESTS,
  sendRequest,
} from '../requests.js';

type Json = Record<string, unknown>;

interface Exchange {
  summary: string;
  asked: z.ZodType;
  answered: z.ZodType;
}

/** The requests of clients, each with its acknowledgement. */
export const EXCHANGES: Readonly<Record<(typeof REQUESTS)[number], Exchange>> = {
  'room:join': { summary: 'Join a room, and hear what was missed', asked: joinRequest, answered: joinAnswer },
  'room:leave': { summary: 'Leave a room', asked: leaveRequest, answered: leaveAnswer },
  'room:send': { summary: 'Say something in a room that one is in', asked: sendRequest, answered: sendAnswer },
  'room:history': { summary: 'Read back in a room with history', asked: historyRequest, answered: historyAnswer },
  'room:presence': { summary: 'See who is in a room', asked: presenceRequest, answered: presenceAnswer },
  'auth:renew': { summary: 'Give a fresh token for the one that ends', asked: renewRequest, answered: renewedAnswer },
  'room:mute': { summary: 'Mute a user, in a room or everywhere', asked: restrictRequest, answered: restrictedAck },
  'room:unmute': { summary: 'Let a muted user speak again', asked: subject, answered: liftedAck },
  'room:ban': { summary: 'Ban a user, from a room or everywhere', asked: restrictRequest, answered: restrictedAck },
  'room:unban': { summary: 'Let a banned user in again', asked: subject, answered: liftedAck },
  'room:kick': { summary: 'Send a user out, of a room or everywhere', asked: kickRequest, answered: kickedAck },
  'room:slow': { summary: 'Change how slowly is spoken in a room', asked: slowRequest, answered: slowAck },
  'room:restrictions': { summary: 'See what was decided', asked: restrictionsRequest, answered: restrictionsAck },
  'server:info': { summary: 'See which instance this is', asked: infoRequest, answered: infoAnswer },
};

/** What clients hear without asking. */
export const PUSHES: Readonly<Record<string, { summary: string; payload: z.ZodType }>> = {
  message: { summary: 'What was said in a room, under the name of its event', payload: messagePush },
  'room:presence': { summary: 'Who has joined or left a room, or how many are in it now', payload: presencePush },
  'room:gap': { summary: 'Messages have been missed in a room', payload: roomReason },
  'room:closed': { summary: 'The socket was taken out of a room', payload: closedPush },
  'room:moderation': { summary: 'A user is muted, or a room slowed down, or no more', payload: moderationPush },
  'server:reauth': { summary: 'The token ends: send a fresh one with auth:renew', payload: reauthPush },
  'server:closed': { summary: 'The connection is about to be closed', payload: closedServerPush },
  'server:drain': { summary: 'The instance shuts down', payload: drainPush },
};

const CHANNEL = { $ref: '#/channels/namespace' };

/** @param version of the protocol: the gateway's own */
export function asyncapi(version: string): Json {
  const messages: Record<string, Json> = {
    refused: message('refused', 'A refusal of any request', refusedAnswer, 'output'),
  };
  const operations: Record<string, Json> = {};
  for (const [name, { summary, asked, answered }] of Object.entries(EXCHANGES)) {
    const key = keyOf(name);
    const answer = `${key}Answer`;
    messages[key] = message(name, summary, asked, 'input');
    messages[answer] = message(`acknowledgement of ${name}`, `The answer to ${name}`, answered, 'output');
    operations[key] = {
      action: 'receive',
      channel: CHANNEL,
      summary,
      messages: [inChannel(key)],
      reply: { channel: CHANNEL, messages: [inChannel(answer), inChannel('refused')] },
    };
  }
  for (const [name, { summary, payload }] of Object.entries(PUSHES)) {
    const key = `${keyOf(name)}Push`;
    messages[key] = message(name, summary, payload, 'output');
    operations[key] = { action: 'send', channel: CHANNEL, summary, messages: [inChannel(key)] };
  }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Roomcast',
      version,
      description:
        'Socket.IO 4. A message here is an event: its name, and one payload. Every request is acknowledged, with its own ' +
        'answer or with a refusal.',
      license: { name: 'MIT' },
    },
    defaultContentType: 'application/json',
    servers: {
      gateway: {
        host: '{host}',
        pathname: '/socket.io/',
        protocol: 'wss',
        description: 'Any instance: Socket.IO over WebSocket or HTTP long polling.',
        variables: { host: { default: 'localhost:3000' } },
      },
    },
    channels: {
      namespace: {
        address: '/',
        title: 'The main namespace of Socket.IO',
        messages: Object.fromEntries(
          Object.keys(messages).map((key) => [key, { $ref: `#/components/messages/${key}` }]),
        ),
      },
    },
    operations,
    components: { messages },
  };
}

function message(name: string, summary: string, schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...payload } = z.toJSONSchema(schema, { target: 'draft-7', io }) as Json;
  return { name, title: name, summary, contentType: 'application/json', payload };
}

function inChannel(key: string): Json {
  return { $ref: `#/channels/namespace/messages/${key}` };
}

/** `room:join` as `roomJoin`. */
function keyOf(name: string): string {
  return name.replace(/:(\w)/g, (_, letter: string) => letter.toUpperCase());
}
