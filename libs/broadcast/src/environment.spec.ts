import {
  APP_DEFAULTS,
  createBus,
  optionsOf,
  readEnvironment,
  showEnvironment,
  transportOf,
  type Environment,
} from './environment.js';
import { BroadcastError } from './errors.js';

type Variable = keyof Environment;

function valueOf(variable: Variable, value: string): unknown {
  return readEnvironment({ [variable]: value })[variable];
}

describe('the environment', () => {
  it('has a default for everything', () => {
    expect(readEnvironment({})).toEqual({
      NODE_ENV: undefined,
      PORT: 3_000,
      HOST: '0.0.0.0',
      ROOM_PROFILES: {},
      BROADCAST_TRANSPORT: 'memory',
      BROADCAST_PREFIX: '',
      BROADCAST_REQUIRE_SIGNED: false,
      AUTH_ANONYMOUS: true,
      CORS_ORIGINS: [],
      API_CONCURRENCY: 1_000,
      PRESENCE_THRESHOLD: 100,
      COALESCE_MS: 0,
      SLOW_CLIENT_BYTES: 1_048_576,
      CLIENT_TRANSPORTS: 'polling,websocket',
      MAX_MESSAGE_BYTES: 65_536,
      RATE_LIMIT: { count: 20, per: 1_000 },
      RATE_LIMIT_USER: { count: 60, per: 1_000 },
      RATE_LIMIT_ROOM: { count: 1_000, per: 1_000 },
      JOIN_LIMIT: { count: 200, per: 10_000 },
      HANDSHAKE_RATE: { count: 1_000, per: 10_000 },
      MAX_ROOMS_PER_SOCKET: 200,
      MAX_CONNECTIONS: 20_000,
      MAX_CONNECTIONS_PER_USER: 50,
      TRUST_PROXY: 0,
      SHUTDOWN_GRACE: 25_000,
      DRAIN_DELAY: 0,
      DRAIN_SHARE: 0.1,
      LOG_FORMAT: 'text',
      JOB_LEASE: 30_000,
      READINESS_REQUIRES_BROKER: false,
      LOG_LEVEL: 'log',
    });
  });

  it('takes an empty value for none, and does not mind other variables', () => {
    expect(readEnvironment({ PORT: '', REDIS_URL: '', PATH: '/bin' })).toEqual(readEnvironment({}));
  });

  it.each<[Variable, string, unknown]>([
    ['NODE_ENV', 'test', 'test'],
    ['PORT', '0', 0],
    ['PORT', '65535', 65_535],
    ['HOST', '::1', '::1'],
    ['INSTANCE_ID', 'gw-7f.eu_1', 'gw-7f.eu_1'],
    ['INSTANCE_ID', 'x'.repeat(64), 'x'.repeat(64)],
    ['BROADCAST_TRANSPORT', 'memory', 'memory'],
    ['BROADCAST_TRANSPORT', 'redis', 'redis'],
    ['BROADCAST_TRANSPORT', 'rabbitmq', 'rabbitmq'],
    ['REDIS_URL', 'redis://localhost', 'redis://localhost'],
    ['REDIS_URL', 'rediss://:pass@host:6380/1', 'rediss://:pass@host:6380/1'],
    ['RABBITMQ_URL', 'amqp://localhost', 'amqp://localhost'],
    ['RABBITMQ_URL', 'amqps://user:pass@host/vhost', 'amqps://user:pass@host/vhost'],
    ['BROADCAST_PREFIX', 'eu:blue.', 'eu:blue.'],
    ['BROADCAST_SECRET', 'sixteen letters!', ['sixteen letters!']],
    [
      'BROADCAST_SECRET',
      'the new secret of all, the old secret of all',
      ['the new secret of all', 'the old secret of all'],
    ],
    ['BROADCAST_REQUIRE_SIGNED', 'false', false],
    ['HISTORY_SIZE', '0', 0],
    ['HISTORY_SIZE', '100000', 100_000],
    ['HISTORY_TTL', '1s', 1_000],
    ['HISTORY_TTL', '24h', 86_400_000],
    ['ROOM_PROFILES', '{}', {}],
    ['ROOM_PROFILES', '{"game":{}}', { game: {} }],
    ['ROOM_PROFILES', '{"game":{"history":{"size":0}}}', { game: { history: { size: 0 } } }],
    ['ROOM_PROFILES', ' { "a b": { "history": { "ttl": "10m" } } } ', { 'a b': { history: { ttl: 600_000 } } }],
    ['ROOM_PROFILES', '{"x":{"slowMode":"10s"},"y":{"slowMode":5}}', { x: { slowMode: 10_000 }, y: { slowMode: 5 } }],
    ['ROOM_PROFILES', '{"x":{"history":{"size":9,"ttl":1000}}}', { x: { history: { size: 9, ttl: 1_000 } } }],
    ['AUTH_JWT_SECRET', 'x'.repeat(32), ['x'.repeat(32)]],
    ['AUTH_JWT_SECRET', `${'x'.repeat(32)}, ${'y'.repeat(40)}`, ['x'.repeat(32), 'y'.repeat(40)]],
    ['AUTH_JWKS_URL', 'https://example.org/keys', 'https://example.org/keys'],
    ['AUTH_JWT_ISSUER', 'https://example.org/', 'https://example.org/'],
    ['AUTH_JWT_AUDIENCE', 'rooms', 'rooms'],
    ['DRAIN_DELAY', '3s', 3_000],
    ['DRAIN_SHARE', '.25', 0.25],
    ['DRAIN_SHARE', '1', 1],
    ['METRICS_PORT', '9464', 9_464],
    ['LOG_FORMAT', 'json', 'json'],
    ['AUTH_ANONYMOUS', 'false', false],
    ['AUTH_ANONYMOUS', '1', true],
    ['CORS_ORIGINS', '*', ['*']],
    ['CORS_ORIGINS', 'https://a.org, http://localhost:5173', ['https://a.org', 'http://localhost:5173']],
    ['API_KEYS', 'the-key-of-the-shop, sixteen-letters!', ['the-key-of-the-shop', 'sixteen-letters!']],
    ['API_CONCURRENCY', '1', 1],
    ['PRESENCE_THRESHOLD', '0', 0],
    ['PRESENCE_THRESHOLD', '10000', 10_000],
    ['ROOM_PROFILES', '{"game":{"presence":{"threshold":5}}}', { game: { presence: { threshold: 5 } } }],
    ['ROOM_PROFILES', '{"game":{"slow":"drop-oldest"}}', { game: { slow: 'drop-oldest' } }],
    ['COALESCE_MS', '0', 0],
    ['COALESCE_MS', '1000', 1_000],
    ['SLOW_CLIENT_BYTES', '1024', 1_024],
    ['SLOW_CLIENT_BYTES', '1073741824', 1_073_741_824],
    ['MAX_MESSAGE_BYTES', '1', 1],
    ['MAX_MESSAGE_BYTES', '16777216', 16_777_216],
    ['RATE_LIMIT', '5/s', { count: 5, per: 1_000 }],
    ['RATE_LIMIT_USER', '100/10s', { count: 100, per: 10_000 }],
    ['RATE_LIMIT_ROOM', 'off', 'off'],
    ['JOIN_LIMIT', '9/m', { count: 9, per: 60_000 }],
    ['HANDSHAKE_RATE', '5/500ms', { count: 5, per: 500 }],
    ['MAX_ROOMS_PER_SOCKET', '1', 1],
    ['MAX_CONNECTIONS', '10000000', 10_000_000],
    ['MAX_CONNECTIONS_PER_USER', 'off', 'off'],
    ['TRUST_PROXY', '2', 2],
    ['SHUTDOWN_GRACE', '500ms', 500],
    ['SHUTDOWN_GRACE', '0s', 0],
    ['SHUTDOWN_GRACE', '25s', 25_000],
    ['SHUTDOWN_GRACE', '10m', 600_000],
    ['SHUTDOWN_GRACE', '1h', 3_600_000],
    ['JOB_LEASE', '1s', 1_000],
    ['READINESS_REQUIRES_BROKER', 'true', true],
    ['READINESS_REQUIRES_BROKER', '0', false],
    ['CLIENT_TRANSPORTS', 'websocket', 'websocket'],
    ['LOG_LEVEL', 'verbose', 'verbose'],
  ])('reads %s=%s as %j', (variable, value, expected) => {
    expect(valueOf(variable, value)).toEqual(expected);
  });

  const port = 'a port from 0 to 65535';
  const instance = '1 to 64 of A-Z a-z 0-9 _ . -';
  const redis = 'a URL that begins with redis:// or rediss://';
  const rabbitmq = 'a URL that begins with amqp:// or amqps://';
  const prefix = 'at most 64 of A-Z a-z 0-9 _ : . -';
  const secrets = 'secrets of at least 16 characters, separated by commas';
  const size = 'a number of bytes from 1 to 16777216';
  const rate = 'a rate such as 20/s or 100/10s, or off';
  const amount = 'a number from 1 to 10000000, or off';
  const keys = 'keys of at least 16 printable characters without spaces, separated by commas';
  const duration = 'a duration such as 500ms, 25s, 10m or 1h';
  const messages = 'a number of messages from 0 to 100000';
  const lifetime = 'a duration of at least 1s, such as 25s, 10m or 1h';
  const origins = 'origins such as https://example.org, separated by commas, or *';
  const profiles = 'JSON such as {"game":{"history":{"size":0}},"support":{"history":{"size":1000,"ttl":"24h"}}}';

  it.each<[Variable, string, string]>([
    ['PORT', '65536', port],
    ['PORT', '-1', port],
    ['PORT', '3000.5', port],
    ['PORT', 'http', port],
    ['INSTANCE_ID', 'a b', instance],
    ['INSTANCE_ID', 'a/b', instance],
    ['INSTANCE_ID', 'x'.repeat(65), instance],
    ['BROADCAST_TRANSPORT', 'kafka', 'one of memory, redis, rabbitmq'],
    ['REDIS_URL', 'localhost:6379', redis],
    ['REDIS_URL', 'http://localhost', redis],
    ['RABBITMQ_URL', 'redis://localhost', rabbitmq],
    ['RABBITMQ_URL', 'amqp', rabbitmq],
    ['BROADCAST_PREFIX', 'eu blue', prefix],
    ['BROADCAST_PREFIX', '{eu}', prefix],
    ['BROADCAST_PREFIX', 'x'.repeat(65), prefix],
    ['BROADCAST_SECRET', 'fifteen letters', secrets],
    ['BROADCAST_SECRET', 'the new secret of all,', secrets],
    ['BROADCAST_SECRET', 'the new secret of all,short', secrets],
    ['BROADCAST_REQUIRE_SIGNED', 'yes', 'true or false'],
    ['BROADCAST_REQUIRE_SIGNED', 'true', 'a BROADCAST_SECRET to verify signatures with'],
    ['HISTORY_SIZE', '-1', messages],
    ['HISTORY_SIZE', '100001', messages],
    ['HISTORY_SIZE', 'all', messages],
    ['HISTORY_TTL', '10', lifetime],
    ['HISTORY_TTL', '999ms', lifetime],
    ['HISTORY_TTL', '0s', lifetime],
    ['ROOM_PROFILES', 'game', profiles],
    ['ROOM_PROFILES', '[]', profiles],
    ['ROOM_PROFILES', 'null', profiles],
    ['RATE_LIMIT', '20', rate],
    ['RATE_LIMIT', '0/s', rate],
    ['RATE_LIMIT', '20/0s', rate],
    ['RATE_LIMIT', '20/day', rate],
    ['MAX_CONNECTIONS', '0', amount],
    ['MAX_CONNECTIONS', '10000001', amount],
    ['TRUST_PROXY', 'true', 'a number of proxies from 0 to 10'],
    ['AUTH_JWT_SECRET', 'x'.repeat(31), 'secrets of at least 32 characters, separated by commas'],
    ['AUTH_JWKS_URL', 'example.org/keys', 'a URL that begins with https:// or http://'],
    ['AUTH_ANONYMOUS', 'yes', 'true or false'],
    ['CORS_ORIGINS', 'garbage', origins],
    ['CORS_ORIGINS', 'https://a.org/', origins],
    ['CORS_ORIGINS', 'https://A.org', origins],
    ['API_KEYS', 'fifteen-letters', keys],
    ['API_KEYS', 'the-key-of-the-shop,', keys],
    ['API_KEYS', 'a key with spaces in it', keys],
    ['API_CONCURRENCY', '0', 'a number of requests from 1 to 100000'],
    ['PRESENCE_THRESHOLD', '10001', 'a number of members from 0 to 10000'],
    ['COALESCE_MS', '1001', 'a number of milliseconds from 0 to 1000'],
    ['COALESCE_MS', '-1', 'a number of milliseconds from 0 to 1000'],
    ['SLOW_CLIENT_BYTES', '1023', 'a number of bytes from 1024 to 1073741824'],
    ['SLOW_CLIENT_BYTES', '1MB', 'a number of bytes from 1024 to 1073741824'],
    ['MAX_MESSAGE_BYTES', '0', size],
    ['MAX_MESSAGE_BYTES', '16777217', size],
    ['MAX_MESSAGE_BYTES', '64k', size],
    ['DRAIN_DELAY', 'soon', duration],
    ['DRAIN_SHARE', '0', 'a share above 0 and up to 1, such as 0.1'],
    ['DRAIN_SHARE', '0.0', 'a share above 0 and up to 1, such as 0.1'],
    ['DRAIN_SHARE', '10%', 'a share above 0 and up to 1, such as 0.1'],
    ['DRAIN_SHARE', '1.5', 'a share above 0 and up to 1, such as 0.1'],
    ['METRICS_PORT', 'on', 'a port from 0 to 65535'],
    ['LOG_FORMAT', 'xml', 'json or text'],
    ['SHUTDOWN_GRACE', '25', duration],
    ['SHUTDOWN_GRACE', '-5s', duration],
    ['SHUTDOWN_GRACE', '1d', duration],
    ['JOB_LEASE', '999ms', 'a duration from 1s to 1h'],
    ['JOB_LEASE', '61m', 'a duration from 1s to 1h'],
    ['JOB_LEASE', 'long', 'a duration from 1s to 1h'],
    ['READINESS_REQUIRES_BROKER', 'TRUE', 'true or false'],
    ['CLIENT_TRANSPORTS', 'polling', 'polling,websocket or websocket'],
    ['LOG_LEVEL', 'info', 'one of fatal, error, warn, log, debug, verbose'],
  ])('refuses %s=%s in one sentence', (variable, value, expected) => {
    expect(() => valueOf(variable, value)).toThrow(
      expect.objectContaining({
        code: 'BAD_REQUEST',
        message: `The environment is wrong: ${variable}: expected ${expected}.`,
      }),
    );
  });

  const members = 'history, presence, slow or slowMode';
  it.each<[string, string, string]>([
    ['{"game":7}', 'game', `an object with ${members}`],
    ['{"game":{"size":0}}', 'game.size', `no such key, but ${members}`],
    ['{"game":{"histroy":{}}}', 'game.histroy', `no such key, but ${members}`],
    ['{"game":{"history":{"length":0}}}', 'game.history.length', 'no such key, but size or ttl'],
    ['{"game":{"history":{"size":-1}}}', 'game.history.size', messages],
    ['{"game":{"history":{"size":1.5}}}', 'game.history.size', messages],
    ['{"game":{"history":{"size":"5"}}}', 'game.history.size', messages],
    ['{"game":{"history":{"size":100001}}}', 'game.history.size', messages],
    [
      '{"game":{"history":{"ttl":"1d"}}}',
      'game.history.ttl',
      'a duration of at least 1s, such as "10m", or as many ms',
    ],
    ['{"game":{"history":{"ttl":999}}}', 'game.history.ttl', 'a duration of at least 1s, such as "10m", or as many ms'],
    [
      '{"game":{"history":{"ttl":"0s"}}}',
      'game.history.ttl',
      'a duration of at least 1s, such as "10m", or as many ms',
    ],
    ['{"game":{"slow":"lates"}}', 'game.slow', 'disconnect, drop-oldest or latest'],
    ['{"game":{"slowMode":"soon"}}', 'game.slowMode', 'a duration such as "10s", or a number of ms up to a day'],
    ['{"game":{"presence":{"threshold":10001}}}', 'game.presence.threshold', 'a number of members from 0 to 10000'],
  ])('names the place in ROOM_PROFILES that is wrong: %s', (value, place, expected) => {
    expect(() => readEnvironment({ ROOM_PROFILES: value })).toThrow(
      new BroadcastError('BAD_REQUEST', `The environment is wrong: ROOM_PROFILES.${place}: expected ${expected}.`),
    );
  });

  it('names everything that is wrong at once', () => {
    expect(() => readEnvironment({ PORT: 'x', LOG_LEVEL: 'x', HOST: 'fine' })).toThrow(
      `The environment is wrong: PORT: expected ${port}; LOG_LEVEL: expected one of fatal, error, warn, log, debug, verbose.`,
    );
  });

  it('requires signatures where there is a secret', () => {
    const variables = { BROADCAST_SECRET: 'the secret of all', BROADCAST_REQUIRE_SIGNED: 'true' };
    expect(readEnvironment(variables)).toMatchObject({
      BROADCAST_SECRET: ['the secret of all'],
      BROADCAST_REQUIRE_SIGNED: true,
    });
  });

  it.each([
    [{ NODE_ENV: 'production' }, false],
    [{ NODE_ENV: 'production', AUTH_ANONYMOUS: 'true' }, true],
    [{ NODE_ENV: 'development' }, true],
  ])('lets anybody in, but not by default in production: %j', (variables, expected) => {
    expect(readEnvironment(variables).AUTH_ANONYMOUS).toBe(expected);
  });

  it('keeps no histories unless it is told to, or the app does by default', () => {
    expect(createBus(readEnvironment({})).logs.historyOf('a')).toBeUndefined();
    const kept = { size: 200, ttl: 600_000 };
    expect(createBus(readEnvironment({}, APP_DEFAULTS)).logs.historyOf('a')).toEqual(kept);
    expect(createBus(readEnvironment({ HISTORY_SIZE: '0' }, APP_DEFAULTS)).logs.historyOf('a')).toBeUndefined();
    const ROOM_PROFILES = '{"game":{"history":{"size":0}},"support":{"history":{"ttl":"24h"}}}';
    const { logs } = createBus(readEnvironment({ HISTORY_SIZE: '5', ROOM_PROFILES }, APP_DEFAULTS));
    expect(['a', 'game:1', 'support:1'].map((room) => logs.historyOf(room))).toEqual([
      { size: 5, ttl: 600_000 },
      undefined,
      { size: 5, ttl: 86_400_000 },
    ]);
    expect(logs.retention).toBe(86_400_000);
  });

  it.each(['memory', 'redis', 'rabbitmq'])('chooses the transport: %s', (name) => {
    expect(transportOf(readEnvironment({ BROADCAST_TRANSPORT: name })).name).toBe(name);
  });

  it('names the instance and the secret of the bus', () => {
    const BROADCAST_SECRET = 'the secret of all';
    const environment = readEnvironment({
      INSTANCE_ID: 'gw-1',
      BROADCAST_TRANSPORT: 'redis',
      BROADCAST_SECRET,
      BROADCAST_REQUIRE_SIGNED: '1',
    });
    expect(optionsOf(environment)).toMatchObject({ instance: 'gw-1', secret: [BROADCAST_SECRET], requireSigned: true });
    const bus = createBus(environment);
    expect([bus.instance, bus.transport.name]).toEqual(['gw-1', 'redis']);
    expect(createBus(environment, { instance: 'gw-2' }).instance).toBe('gw-2');
  });
});

describe('the environment as it is shown', () => {
  it('has no passwords in it', () => {
    const shown = showEnvironment(
      readEnvironment({
        REDIS_URL: 'rediss://me:s3cret@host:6380/1',
        RABBITMQ_URL: 'amqp://me:s3cret@host/vhost',
      }),
    );
    expect(shown).toMatchObject({ REDIS_URL: 'rediss://me:***@host:6380/1', RABBITMQ_URL: 'amqp://me:***@host/vhost' });
    expect(JSON.stringify(shown)).not.toContain('s3cret');
  });

  it('can be given again, histories and profiles too', () => {
    const ROOM_PROFILES = '{"game":{"history":{"size":0,"ttl":"24h"}}}';
    const limits = { RATE_LIMIT: '7/10s', JOIN_LIMIT: 'off', MAX_CONNECTIONS: 'off' };
    const read = readEnvironment({ HISTORY_SIZE: '7', HISTORY_TTL: '2m', ROOM_PROFILES, ...limits });
    const shown = Object.entries(showEnvironment(read)).map(([name, value]) => [
      name,
      `${(value ?? '') as string | number | boolean}`,
    ]);
    expect(readEnvironment(Object.fromEntries(shown) as NodeJS.ProcessEnv)).toMatchObject({
      HISTORY_SIZE: 7,
      HISTORY_TTL: 120_000,
      RATE_LIMIT: { count: 7, per: 10_000 },
      JOIN_LIMIT: 'off',
      MAX_CONNECTIONS: 'off',
      ROOM_PROFILES: { game: { history: { size: 0, ttl: 86_400_000 } } },
    });
  });

  it('has no secrets in it, only how many there are', () => {
    const BROADCAST_SECRET = 'the new secret of all,the old secret of all';
    const AUTH_JWT_SECRET = 'the new secret of all for tokens,the old secret of all for tokens';
    const AUTH_JWKS_URL = 'https://me:key of all@host/keys';
    const shown = showEnvironment(readEnvironment({ BROADCAST_SECRET, AUTH_JWT_SECRET, AUTH_JWKS_URL }));
    expect(shown).toMatchObject({ BROADCAST_SECRET: '***,***', AUTH_JWT_SECRET: '***,***' });
    expect(shown).toMatchObject({ AUTH_JWKS_URL: 'https://me:***@host/keys' });
    expect(JSON.stringify(shown)).not.toContain('of all');
    const keys = showEnvironment(readEnvironment({ API_KEYS: 'the-key-of-the-shop,the-key-of-tomorrow' }));
    expect(keys['API_KEYS']).toBe('***,***');
  });

  it('is otherwise what was read', () => {
    const read = readEnvironment({ REDIS_URL: 'redis://host:6379/1' });
    expect(showEnvironment(read)).toEqual({
      ...read,
      CORS_ORIGINS: '',
      ROOM_PROFILES: '{}',
      SHUTDOWN_GRACE: '25000ms',
      DRAIN_DELAY: '0ms',
      JOB_LEASE: '30000ms',
      RATE_LIMIT: '20/1000ms',
      RATE_LIMIT_USER: '60/1000ms',
      RATE_LIMIT_ROOM: '1000/1000ms',
      JOIN_LIMIT: '200/10000ms',
      HANDSHAKE_RATE: '1000/10000ms',
    });
  });

  it.each([{ REDIS_URL: 'http://me:s3cret@host' }, { BROADCAST_SECRET: 's3cret' }])(
    'never quotes what may hold a password or a secret: %j',
    (variables) => {
      expect(() => readEnvironment(variables)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining('s3cret') }),
      );
    },
  );
});
