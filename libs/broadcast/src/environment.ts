/*
 * The environment as one schema: what each variable means, its default, and one sentence for every wrong value. Shared
 * by the apps and by `BroadcastModule.forRoot()`.
 */
import { z } from 'zod';
import { Bus } from './bus.js';
import type { BusOptions } from './bus-options.js';
import { duration, durationFrom, lifetime, UNITS, type Unit } from './durations.js';
import { BroadcastError } from './errors.js';
import { MAX_THRESHOLD, profiles } from './profile-settings.js';
import { range } from './range.js';
import { SHORTEST_SECRET } from './signature.js';
import type { Transport } from './transport.js';
import { transports, type TransportName } from './transports/index.js';

/** Characters of a key for the HTTP API. */
const SHORTEST_KEY = 16;
/** Characters of a secret for tokens: HS256 asks for a key as long as its hash. */
const SHORTEST_TOKEN_SECRET = 32;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'] as const;

/** What each of them means is in variables.ts, from where docs/configuration.md is made. */
export const schema = z
  .object({
    NODE_ENV: z.string().optional(),
    PORT: integer('a port from 0 to 65535', 0, 65_535).default(3_000),
    HOST: z.string().default('0.0.0.0'),
    INSTANCE_ID: z
      .string()
      .regex(/^[\w.-]{1,64}$/, '1 to 64 of A-Z a-z 0-9 _ . -')
      .optional(),
    BROADCAST_TRANSPORT: z.enum(names(), `one of ${names().join(', ')}`).default('memory'),
    REDIS_URL: url(['redis:', 'rediss:']).optional(),
    RABBITMQ_URL: url(['amqp:', 'amqps:']).optional(),
    BROADCAST_PREFIX: z
      .string()
      .regex(/^[\w:.-]{0,64}$/, 'at most 64 of A-Z a-z 0-9 _ : . -')
      .default(''),
    BROADCAST_SECRET: secrets(SHORTEST_SECRET).optional(),
    BROADCAST_REQUIRE_SIGNED: boolean().default(false),
    HISTORY_SIZE: integer('a number of messages from 0 to 100000', 0, 100_000).optional(),
    HISTORY_TTL: lifetime().optional(),
    ROOM_PROFILES: profiles().default({}),
    AUTH_JWT_SECRET: secrets(SHORTEST_TOKEN_SECRET).optional(),
    AUTH_JWKS_URL: url(['https:', 'http:']).optional(),
    AUTH_JWT_ISSUER: z.string().optional(),
    AUTH_JWT_AUDIENCE: z.string().optional(),
    AUTH_ANONYMOUS: boolean().optional(),
    API_KEYS: keys().optional(),
    API_CONCURRENCY: integer('a number of requests from 1 to 100000', 1, 100_000).default(1_000),
    CORS_ORIGINS: origins().default([]),
    PRESENCE_THRESHOLD: integer('a number of members from 0 to 10000', 0, MAX_THRESHOLD).default(100),
    COALESCE_MS: integer('a number of milliseconds from 0 to 1000', 0, 1_000).default(0),
    SLOW_CLIENT_BYTES: integer('a number of bytes from 1024 to 1073741824', 1_024, 1024 ** 3).default(1_048_576),
    CLIENT_TRANSPORTS: z
      .enum(['polling,websocket', 'websocket'], 'polling,websocket or websocket')
      .default('polling,websocket'),
    MAX_MESSAGE_BYTES: integer('a number of bytes from 1 to 16777216', 1, 16 * 1024 * 1024).default(65_536),
    RATE_LIMIT: rate().default({ count: 20, per: 1_000 }),
    RATE_LIMIT_USER: rate().default({ count: 60, per: 1_000 }),
    RATE_LIMIT_ROOM: rate().default({ count: 1_000, per: 1_000 }),
    JOIN_LIMIT: rate().default({ count: 200, per: 10_000 }),
    HANDSHAKE_RATE: rate().default({ count: 1_000, per: 10_000 }),
    MAX_ROOMS_PER_SOCKET: amount().default(200),
    MAX_CONNECTIONS: amount().default(20_000),
    MAX_CONNECTIONS_PER_USER: amount().default(50),
    TRUST_PROXY: integer('a number of proxies from 0 to 10', 0, 10).default(0),
    SHUTDOWN_GRACE: duration().default(25_000),
    DRAIN_DELAY: duration().optional(),
    DRAIN_SHARE: share().default(0.1),
    JOB_LEASE: durationFrom('a duration from 1s to 1h', 1_000, 3_600_000).default(30_000),
    READINESS_REQUIRES_BROKER: boolean().default(false),
    METRICS_PORT: integer('a port from 0 to 65535', 0, 65_535).optional(),
    LOG_FORMAT: z.enum(['json', 'text'], 'json or text').optional(),
    LOG_LEVEL: z.enum(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`).default('log'),
  })
  .refine(({ BROADCAST_SECRET, BROADCAST_REQUIRE_SIGNED }) => BROADCAST_SECRET || !BROADCAST_REQUIRE_SIGNED, {
    path: ['BROADCAST_REQUIRE_SIGNED'],
    message: 'a BROADCAST_SECRET to verify signatures with',
  })
  .transform(({ NODE_ENV, AUTH_ANONYMOUS = NODE_ENV !== 'production', DRAIN_DELAY, LOG_FORMAT, ...rest }) => ({
    ...rest,
    NODE_ENV,
    /** How long an instance that is to end is not ready and takes clients all the same. By default not in development. */
    DRAIN_DELAY: DRAIN_DELAY ?? (NODE_ENV === 'production' ? 500 : 0),
    /** By default for machines in production, else for people. */
    LOG_FORMAT: LOG_FORMAT ?? (NODE_ENV === 'production' ? 'json' : 'text'),
    /** Whether clients may come without a token. By default not in production. */
    AUTH_ANONYMOUS,
  }));

/** The gateway's and the worker's own defaults: what is said in a room can be read again for a while. */
export const APP_DEFAULTS = { HISTORY_SIZE: '200', HISTORY_TTL: '10m' };

/** What the environment says, with defaults filled in. Durations are in ms. */
export type Environment = z.output<typeof schema>;

/**
 * Reads the environment. An empty value counts as none.
 *
 * @param defaults what holds where nothing is said; the gateway and the worker keep histories by default
 * @throws BroadcastError `BAD_REQUEST`: one sentence that names every wrong variable and what it expects
 */
export function readEnvironment(
  variables: NodeJS.ProcessEnv = process.env,
  defaults: NodeJS.ProcessEnv = {},
): Environment {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const { data, error } = schema.safeParse({ ...defaults, ...given });
  if (data) return data;
  const wrong = error.issues.map(({ path, message }) => `${path.join('.')}: expected ${message}`);
  throw new BroadcastError('BAD_REQUEST', `The environment is wrong: ${[...new Set(wrong)].join('; ')}.`);
}

/** The transport that the environment chooses. */
export function transportOf(environment: Environment): Transport {
  return transports[environment.BROADCAST_TRANSPORT](environment);
}

/** The options of a bus that the environment names. */
export function optionsOf(
  environment: Environment,
): Pick<BusOptions, 'instance' | 'secret' | 'requireSigned' | 'history' | 'profiles'> {
  const { INSTANCE_ID: instance, BROADCAST_SECRET: secret, BROADCAST_REQUIRE_SIGNED: requireSigned } = environment;
  const { HISTORY_SIZE: size, HISTORY_TTL: ttl, ROOM_PROFILES: profiles } = environment;
  const history = { ...(size !== undefined && { size }), ...(ttl !== undefined && { ttl }) };
  return { instance, secret, requireSigned, history, profiles };
}

/** A bus as the environment says: over its transport, with its instance id and its secret. Not connected yet. */
export function createBus(environment: Environment = readEnvironment(), options: BusOptions = {}): Bus {
  return new Bus(transportOf(environment), { ...optionsOf(environment), ...options });
}

/** So many in so much time, in ms, or no limit. */
export type Rate = { readonly count: number; readonly per: number } | 'off';

/** The environment as it may be shown, and given again: without the passwords and secrets in it. */
export function showEnvironment(environment: Environment): Record<string, unknown> {
  const { REDIS_URL, RABBITMQ_URL, BROADCAST_SECRET, SHUTDOWN_GRACE, DRAIN_DELAY, JOB_LEASE, CORS_ORIGINS } =
    environment;
  const { HISTORY_TTL, ROOM_PROFILES, AUTH_JWT_SECRET, AUTH_JWKS_URL, API_KEYS } = environment;
  const rates = Object.entries(environment).filter(([, value]) => isRate(value)) as [string, Rate][];
  return {
    ...environment,
    ...Object.fromEntries(rates.map(([name, value]) => [name, showRate(value)])),
    ...(AUTH_JWT_SECRET && { AUTH_JWT_SECRET: AUTH_JWT_SECRET.map(() => '***').join(',') }),
    ...(AUTH_JWKS_URL !== undefined && { AUTH_JWKS_URL: hidePassword(AUTH_JWKS_URL) }),
    ...(REDIS_URL !== undefined && { REDIS_URL: hidePassword(REDIS_URL) }),
    ...(RABBITMQ_URL !== undefined && { RABBITMQ_URL: hidePassword(RABBITMQ_URL) }),
    ...(BROADCAST_SECRET && { BROADCAST_SECRET: BROADCAST_SECRET.map(() => '***').join(',') }),
    ...(API_KEYS && { API_KEYS: API_KEYS.map(() => '***').join(',') }),
    ...(HISTORY_TTL !== undefined && { HISTORY_TTL: `${HISTORY_TTL}ms` }),
    ROOM_PROFILES: JSON.stringify(ROOM_PROFILES),
    SHUTDOWN_GRACE: `${SHUTDOWN_GRACE}ms`,
    DRAIN_DELAY: `${DRAIN_DELAY}ms`,
    JOB_LEASE: `${JOB_LEASE}ms`,
    CORS_ORIGINS: CORS_ORIGINS.join(','),
  };
}

function names(): [TransportName, ...TransportName[]] {
  return Object.keys(transports) as [TransportName, ...TransportName[]];
}

/** The range is in the pattern too, and beside it, for the schema that the Helm chart has of this. */
function integer(what: string, minimum: number, maximum: number) {
  return z
    .string()
    .regex(new RegExp(`^${range(minimum, maximum)}$`), what)
    .transform(Number)
    .meta({ minimum, maximum });
}

function boolean() {
  return z.enum(['true', 'false', '1', '0'], 'true or false').transform((value) => value === 'true' || value === '1');
}

/** `20/s`, `100/10s`, or `off`. */
function rate() {
  const what = 'a rate such as 20/s or 100/10s, or off';
  return z
    .string()
    .regex(/^([1-9]\d{0,8}\/([1-9]\d{0,5})?(ms|s|m|h)|off)$/, what)
    .transform((value): Rate => {
      if (value === 'off') return value;
      const [, count, amount, unit] = /^(\d+)\/(\d*)(\w+)$/.exec(value) as unknown as [string, string, string, Unit];
      return { count: Number(count), per: Number(amount || 1) * UNITS[unit] };
    });
}

function isRate(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'per' in value;
}

function showRate(value: Rate): string {
  return value === 'off' ? value : `${value.count}/${value.per}ms`;
}

/** A number of things, or `off` for no limit. */
function amount() {
  const [minimum, maximum] = [1, 10_000_000];
  return z
    .string()
    .regex(new RegExp(`^(${range(minimum, maximum)}|off)$`), 'a number from 1 to 10000000, or off')
    .transform((value) => (value === 'off' ? value : Number(value)))
    .meta({ minimum, maximum });
}

function secrets(shortest: number) {
  const what = `secrets of at least ${shortest} characters, separated by commas`;
  return z
    .string()
    .transform((value) => value.split(',').map((secret) => secret.trim()))
    .refine((list) => list.every(({ length }) => length >= shortest), what);
}

function keys() {
  const what = `keys of at least ${SHORTEST_KEY} printable characters without spaces, separated by commas`;
  return z
    .string()
    .transform((value) => value.split(',').map((key) => key.trim()))
    .refine((list) => list.every((key) => key.length >= SHORTEST_KEY && /^[\x21-\x7e]+$/.test(key)), what);
}

function origins() {
  const what = 'origins such as https://example.org, separated by commas, or *';
  const isOrigin = (value: string) => value === '*' || (URL.canParse(value) && new URL(value).origin === value);
  return z
    .string()
    .regex(/^\s*(\*|https?:\/\/[^\s/,?#@]+)\s*(,\s*(\*|https?:\/\/[^\s/,?#@]+)\s*)*$/, what)
    .transform((value) => value.split(',').map((origin) => origin.trim()))
    .refine((list) => list.every(isOrigin), what);
}

function share() {
  const what = 'a share above 0 and up to 1, such as 0.1';
  return z
    .string()
    .regex(/^(0?\.\d{0,5}[1-9]\d{0,5}|1(\.0+)?)$/, what)
    .transform(Number)
    .meta({ exclusiveMinimum: 0, maximum: 1 });
}

function url(protocols: readonly string[]) {
  const what = `a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
  return z
    .string()
    .regex(new RegExp(`^(${protocols.join('|')})//\\S`), what)
    .refine((value) => URL.canParse(value), what);
}

function hidePassword(value: string): string {
  if (!URL.canParse(value)) return value;
  const shown = new URL(value);
  if (shown.password) shown.password = '***';
  if (shown.searchParams.has('password')) shown.searchParams.set('password', '***');
  return shown.href;
}
