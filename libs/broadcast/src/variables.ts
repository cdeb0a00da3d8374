/*
 * What each variable of the environment means, in words. docs/configuration.md and the settings that the Helm chart takes
 * are made of this and of the schema in environment.ts: `npm run configuration`.
 */
import type { Environment } from './environment.js';

export interface Variable {
  /** The heading that it is listed under. */
  readonly topic: 'Listening' | 'Broker' | 'Rooms' | 'Access' | 'Limits' | 'Running';
  /** Markdown. */
  readonly meaning: string;
  /** What holds where nothing is said, in words, if the schema does not say it. */
  readonly otherwise?: string;
  /** Not to be written down where everyone reads. */
  readonly secret?: true;
  /** The only app that looks at it. */
  readonly app?: 'gateway' | 'worker';
  /** The Helm chart says it itself. */
  readonly derived?: true;
}

export const variables = {
  PORT: { topic: 'Listening', app: 'gateway', derived: true, meaning: 'Where the gateway listens; 0 is a free port.' },
  HOST: { topic: 'Listening', app: 'gateway', meaning: 'The address that the gateway listens on.' },
  CLIENT_TRANSPORTS: {
    topic: 'Listening',
    app: 'gateway',
    derived: true,
    meaning:
      'How clients may connect. `websocket` alone needs no sticky sessions: long polling is many requests, which all have ' +
      'to reach one instance.',
  },
  CORS_ORIGINS: {
    topic: 'Access',
    app: 'gateway',
    meaning:
      'Web pages that may connect: `https://a.org,https://b.org`, or `*`. Pages of the gateway’s own origin need none.',
  },
  INSTANCE_ID: {
    topic: 'Running',
    derived: true,
    otherwise: 'random',
    meaning: 'Names the instance: different on each.',
  },
  BROADCAST_TRANSPORT: { topic: 'Broker', derived: true, meaning: 'What carries messages between instances.' },
  REDIS_URL: {
    topic: 'Broker',
    secret: true,
    otherwise: '`redis://127.0.0.1:6379`',
    meaning: 'Where Redis is. `rediss://` for TLS.',
  },
  RABBITMQ_URL: {
    topic: 'Broker',
    secret: true,
    otherwise: '`amqp://127.0.0.1:5672`',
    meaning: 'Where RabbitMQ is. `amqps://` for TLS.',
  },
  BROADCAST_PREFIX: {
    topic: 'Broker',
    meaning: 'In front of every name at the broker, so that several systems can share one.',
  },
  BROADCAST_SECRET: {
    topic: 'Broker',
    secret: true,
    meaning:
      'Shared by all instances: what they tell each other is signed, and they act on nothing else. `new,old` while one is ' +
      'exchanged for another; see [the protocol](protocol.md#8-signed-messages).',
  },
  BROADCAST_REQUIRE_SIGNED: {
    topic: 'Broker',
    meaning: 'Whether what is said in rooms has to be signed too, also by other services. Needs `BROADCAST_SECRET`.',
  },
  HISTORY_SIZE: {
    topic: 'Rooms',
    otherwise: '`200`; `0` for the library on its own',
    meaning: 'Messages that a room keeps. `0`: rooms without history.',
  },
  HISTORY_TTL: {
    topic: 'Rooms',
    otherwise: '`10m`',
    meaning: 'How long they are kept after the room’s last message (on RabbitMQ: after their own).',
  },
  ROOM_PROFILES: {
    topic: 'Rooms',
    meaning: 'Settings for kinds of rooms, by the part of the name before the first `:`, as JSON.',
  },
  COALESCE_MS: {
    topic: 'Limits',
    app: 'gateway',
    meaning:
      'How long messages to one client are gathered before they are written, in ms: saves CPU in hot rooms, costs as much latency.',
  },
  SLOW_CLIENT_BYTES: {
    topic: 'Limits',
    app: 'gateway',
    meaning:
      'Bytes that may wait for one client. Beyond that the profile of the room says what happens: [slow clients](socketio.md#slow-clients).',
  },
  MAX_MESSAGE_BYTES: { topic: 'Limits', meaning: 'The largest message, about 150 bytes of header included.' },
  AUTH_ANONYMOUS: {
    topic: 'Access',
    app: 'gateway',
    otherwise: '`true`, in production `false`',
    meaning: 'Whether clients may come without a token.',
  },
  SHUTDOWN_GRACE: {
    topic: 'Running',
    derived: true,
    meaning: 'Time for draining: clients are sent away, and jobs are finished, within it.',
  },
  JOB_LEASE: {
    topic: 'Running',
    app: 'worker',
    meaning: 'After so long a silence of another worker, its jobs are taken over (Redis).',
  },
  READINESS_REQUIRES_BROKER: {
    topic: 'Running',
    app: 'gateway',
    meaning: 'Whether a broker outage takes the instance out of rotation.',
  },
  LOG_LEVEL: { topic: 'Running', meaning: 'The least important that is logged.' },
  NODE_ENV: {
    topic: 'Running',
    derived: true,
    otherwise: '–',
    meaning:
      '`production`: clients need a token (`AUTH_ANONYMOUS`), the HTTP API one of `API_KEYS`; logs are JSON, and `DRAIN_DELAY` is 500ms.',
  },
  AUTH_JWT_SECRET: {
    topic: 'Access',
    app: 'gateway',
    secret: true,
    meaning: 'What clients’ tokens are signed with (HS256). `new,old` while one is exchanged for another.',
  },
  AUTH_JWKS_URL: {
    topic: 'Access',
    app: 'gateway',
    meaning: 'Where the public keys of the issuer of tokens are: `https://issuer.example/.well-known/jwks.json`.',
  },
  AUTH_JWT_ISSUER: { topic: 'Access', app: 'gateway', meaning: 'What tokens have to say in `iss`.' },
  AUTH_JWT_AUDIENCE: { topic: 'Access', app: 'gateway', meaning: 'What tokens have to say in `aud`.' },
  API_KEYS: {
    topic: 'Access',
    app: 'gateway',
    secret: true,
    meaning: 'Keys for the HTTP API. Without any, only this machine may call it, and in production nobody.',
  },
  TRUST_PROXY: {
    topic: 'Access',
    app: 'gateway',
    meaning: 'How many proxies of your own stand in front: the address of a client is what the outermost says.',
  },
  API_CONCURRENCY: {
    topic: 'Limits',
    app: 'gateway',
    meaning: 'Requests to the HTTP API at a time; more are told to come back.',
  },
  PRESENCE_THRESHOLD: {
    topic: 'Rooms',
    meaning: 'Most members of a room that are named; above it only how many there are.',
  },
  RATE_LIMIT: { topic: 'Limits', app: 'gateway', meaning: 'Requests of a socket.' },
  RATE_LIMIT_USER: { topic: 'Limits', app: 'gateway', meaning: 'Messages of a user, on this instance.' },
  RATE_LIMIT_ROOM: { topic: 'Limits', app: 'gateway', meaning: 'Messages in a room, from this instance.' },
  JOIN_LIMIT: { topic: 'Limits', app: 'gateway', meaning: 'Joins of a socket.' },
  HANDSHAKE_RATE: {
    topic: 'Limits',
    app: 'gateway',
    meaning: 'Handshakes of an address. Behind a load balancer, set `TRUST_PROXY` too: all come from its address.',
  },
  MAX_ROOMS_PER_SOCKET: { topic: 'Limits', app: 'gateway', meaning: 'Rooms that a socket is in.' },
  MAX_CONNECTIONS: { topic: 'Limits', app: 'gateway', meaning: 'Sockets of this instance.' },
  MAX_CONNECTIONS_PER_USER: { topic: 'Limits', app: 'gateway', meaning: 'Sockets of a user on this instance.' },
  METRICS_PORT: {
    topic: 'Listening',
    derived: true,
    meaning: 'Metrics and health on a port of their own. A worker listens on no other.',
  },
  DRAIN_DELAY: {
    topic: 'Running',
    app: 'gateway',
    otherwise: '`500ms` in production, otherwise `0s`',
    meaning:
      'How long an instance that is to end takes clients all the same, until balancers know that it is not ready.',
  },
  DRAIN_SHARE: {
    topic: 'Running',
    app: 'gateway',
    meaning: 'The part of its clients that it sends away in a second, at least 20.',
  },
  LOG_FORMAT: {
    topic: 'Running',
    otherwise: '`json` in production, otherwise `text`',
    meaning: 'For machines, or for people.',
  },
  // All there are; and more than there are does no harm.
} as const satisfies Record<keyof Environment, Variable> & Record<string, Variable>;
