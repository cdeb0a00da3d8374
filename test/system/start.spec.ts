/*
 * What a new user types first, and what the apps say when their environment is wrong.
 */
import { until } from '@app/broadcast/testing';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { Client, endAll, runGateway, runNode } from './processes.js';

const root = join(__dirname, '..', '..');
const prefix = `s${randomBytes(4).toString('hex')}.`;
const environments = [
  { BROADCAST_TRANSPORT: 'memory' },
  { BROADCAST_TRANSPORT: 'redis', REDIS_URL: process.env['TEST_REDIS_URL']!, BROADCAST_PREFIX: prefix },
  { BROADCAST_TRANSPORT: 'rabbitmq', RABBITMQ_URL: process.env['TEST_RABBITMQ_URL']!, BROADCAST_PREFIX: prefix },
];

afterAll(endAll);

describe('npm start', () => {
  it.each(environments)(
    'runs two gateways and a worker over $BROADCAST_TRANSPORT, and shows a message cross',
    async (environment) => {
      const port = await freePair();
      const started = runNode(['scripts/start.mjs'], { ...environment, PORT: String(port) });
      await until('it prints what to try', () => started.output().includes('Ctrl-C stops everything'), 60_000);
      expect(started.output()).toMatch(/ann said "Hello!" to gateway 1, bob heard it from gateway 2 after [\d.]+ ms/);
      expect(started.output()).toContain(`http://127.0.0.1:${port + 1}`);
      const [ann, bob] = [
        new Client(`http://127.0.0.1:${port}`, 'ann'),
        new Client(`http://127.0.0.1:${port + 1}`, 'bob'),
      ];
      await Promise.all([ann.join('1'), bob.join('1')]);
      await ann.say('1', 'hi');
      await until('bob hears ann', () => bob.chats.length === 1);
      const chat = runNode([
        'scripts/chat.mjs',
        '--user',
        'eve',
        '--room',
        '1',
        '--port',
        String(port),
        '--say',
        'from a terminal',
      ]);
      await until('bob hears the terminal', () => bob.chats.length === 2);
      expect(bob.heard.at(-1)).toMatchObject({ data: { text: 'from a terminal' }, meta: { from: 'eve' } });
      expect(await chat.end()).toBe(0);
      // What is piped in is there before the room is.
      const piped = runNode(['scripts/chat.mjs', '--user', 'eve', '--room', '1', '--port', String(port)]);
      piped.child.stdin!.end('first\nsecond\n');
      expect(await piped.end()).toBe(0);
      await until('bob hears both lines', () => bob.chats.length === 4);
      expect(bob.chats.slice(-2)).toEqual([{ text: 'first' }, { text: 'second' }]);
      expect(piped.output()).not.toContain('not sent');
      ann.close();
      bob.close();
      expect(await started.end('SIGTERM')).toBe(0);
      for (const each of [port, port + 1])
        await expect(fetch(`http://127.0.0.1:${each}/health/live`)).rejects.toThrow();
    },
    90_000,
  );

  it.each([
    ['redis', 'REDIS_URL', 'redis://127.0.0.1:9'],
    ['rabbitmq', 'RABBITMQ_URL', 'amqp://127.0.0.1:9'],
  ])('says in one line that there is no %s', async (BROADCAST_TRANSPORT, setting, url) => {
    const environment = { BROADCAST_TRANSPORT, [setting]: url, PORT: String(await freePair()) };
    const started = runNode(['scripts/start.mjs'], environment);
    expect(await started.end()).toBe(1);
    const lines = started.output().trim().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^${setting}: .*127.0.0.1:9.*npm run roomcast -- doctor`)),
    ]);
  });

  it('says in one sentence that a port is in use', async () => {
    const port = await freePair();
    const occupant = await occupy(port + 1);
    const started = runNode(['scripts/start.mjs'], { PORT: String(port) });
    expect(await started.end()).toBe(1);
    expect(started.output()).toContain(`PORT: ${port + 1} on 0.0.0.0 is in use: stop what uses it, or choose another.`);
    expect(started.output()).not.toContain('    at ');
    await close(occupant);
  }, 60_000);
});

describe('an app', () => {
  it.each([
    [{ PORT: 'abc' }, 'PORT: expected a port from 0 to 65535'],
    [{ PORT: '99999' }, 'PORT: expected a port from 0 to 65535'],
    [{ BROADCAST_TRANSPORT: 'kafka' }, 'BROADCAST_TRANSPORT: expected one of memory, redis, rabbitmq'],
    [{ REDIS_URL: 'localhost' }, 'REDIS_URL: expected a URL that begins with redis:// or rediss://'],
    [{ RABBITMQ_URL: 'http://x' }, 'RABBITMQ_URL: expected a URL that begins with amqp:// or amqps://'],
    [{ SHUTDOWN_GRACE: 'soon' }, 'SHUTDOWN_GRACE: expected a duration such as 500ms, 25s, 10m or 1h'],
    [{ INSTANCE_ID: 'a b' }, 'INSTANCE_ID: expected 1 to 64 of A-Z a-z 0-9 _ . -'],
    [
      { PORT: 'x', LOG_LEVEL: 'loud' },
      'PORT: expected a port from 0 to 65535; LOG_LEVEL: expected one of fatal, error',
    ],
    [{ NODE_ENV: 'production' }, 'AUTH_JWT_SECRET: no client could enter'],
    [{ CORS_ORIGINS: 'example.org' }, 'CORS_ORIGINS: expected origins such as https://example.org'],
  ])('does not start with %j, and says why in one sentence', async (environment, sentence) => {
    const app = runNode(['dist/apps/gateway/src/main.js'], environment);
    expect(await app.end()).toBe(1);
    expect(app.output()).toContain(sentence);
    expect(app.output().trim().split('\n')).toHaveLength(1);
  });

  it('does not start on a port in use, and says so', async () => {
    const occupant = await occupy(0);
    const { port } = occupant.address() as AddressInfo;
    const app = runNode(['dist/apps/gateway/src/main.js'], {
      PORT: String(port),
      HOST: '127.0.0.1',
    });
    expect(await app.end()).toBe(1);
    // One sentence, and nothing before it.
    expect(app.output().trim()).toBe(`PORT: ${port} on 127.0.0.1 is in use: stop what uses it, or choose another.`);
    await close(occupant);
  });

  it('ends in one line of JSON where the log is JSON', async () => {
    const app = runNode(['dist/apps/gateway/src/main.js'], { LOG_FORMAT: 'json', PORT: 'abc' });
    expect(await app.end()).toBe(1);
    expect(JSON.parse(app.output())).toMatchObject({
      level: 'fatal',
      message: expect.stringContaining('PORT: expected a port from 0 to 65535') as string,
    });
  });

  it('says what it is made of to those who debug it, and to nobody else', async () => {
    const said = await Promise.all(
      ['log', 'debug'].map(async (LOG_LEVEL) => {
        const gateway = await runGateway({ LOG_LEVEL });
        await gateway.end('SIGTERM');
        return gateway.output();
      }),
    );
    expect(said.map((text) => /Mapped|dependencies initialized|subscribed to the/.test(text))).toEqual([false, true]);
  });

  it.each(['gateway', 'worker'])('shows what the environment comes to, without passwords: %s', async (name) => {
    const app = runNode([`dist/apps/${name}/src/main.js`, '--check-config'], {
      BROADCAST_TRANSPORT: 'redis',
      REDIS_URL: 'redis://user:hush@example.org:6379',
      SHUTDOWN_GRACE: '5s',
    });
    expect(await app.end()).toBe(0);
    expect(JSON.parse(app.output())).toMatchObject({
      BROADCAST_TRANSPORT: 'redis',
      REDIS_URL: 'redis://user:***@example.org:6379',
      SHUTDOWN_GRACE: '5000ms',
      PORT: 3_000,
    });
  });
});

describe.each(['gateway', 'worker'])('a %s', (name) => {
  it('says which variable is nearly a setting', async () => {
    const app = runNode([`dist/apps/${name}/src/main.js`, '--check-config'], { RATE_LIMITS: '5/s', RATE: '5' });
    expect(await app.end()).toBe(0);
    expect(app.output()).toMatch(/^RATE_LIMITS is not a setting, and changes nothing: did you mean RATE_LIMIT\?$/m);
    expect(app.output()).not.toContain('RATE is');
  });

  it.each([64, 100, 300, 511])('ends with one sentence where it may have %i files open', async (limit) => {
    const script = `ulimit -n ${limit} && exec ${process.execPath} dist/apps/${name}/src/main.js --check-config`;
    const { status, stderr, stdout } = spawnSync('bash', ['-c', script], { cwd: root, encoding: 'utf8' });
    expect([status, stdout, stderr.trim().split('\n')]).toEqual([
      1,
      '',
      [expect.stringMatching(`^This process may have ${limit} files open, and needs 512 to start: raise the limit`)],
    ]);
  });

  it('needs no more files open than that', () => {
    const script = `ulimit -n 512 && exec ${process.execPath} dist/apps/${name}/src/main.js --check-config`;
    const { status, stderr } = spawnSync('bash', ['-c', script], { cwd: root, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('a gateway', () => {
  it('lets pages of the given origins in, and no others', async () => {
    const gateway = await runGateway({ CORS_ORIGINS: 'https://a.org,https://b.org' });
    const allowed = async (Origin: string) => {
      const response = await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin } });
      return response.headers.get('access-control-allow-origin');
    };
    expect([await allowed('https://b.org'), await allowed('https://c.org')]).toEqual(['https://b.org', null]);
    await gateway.end('SIGTERM');
  });

  it('ends on SIGTERM although a connection stays open that never sends a byte', async () => {
    const gateway = await runGateway({});
    const { hostname, port } = new URL(gateway.url);
    const idle = connect(Number(port), hostname);
    idle.on('error', () => undefined);
    await once(idle, 'connect');
    expect(await gateway.end('SIGTERM')).toBe(0);
    idle.destroy();
  });

  it('drains so that clients come back by themselves, however many they are', async () => {
    const port = String(await freePair());
    const first = await runGateway({ PORT: port });
    const clients = Array.from({ length: 120 }, () => new Client(first.url, undefined, { transports: ['websocket'] }));
    await until('all are connected', () => clients.every(({ socket }) => socket.connected));
    expect(await first.end('SIGTERM')).toBe(0);
    expect(clients.every(({ heard }) => heard.some(({ event }) => event === 'server:drain'))).toBe(true);
    const second = await runGateway({ PORT: port });
    await until('all are back', () => clients.every(({ socket }) => socket.connected));
    clients.forEach((client) => client.close());
    await second.end('SIGTERM');
  });
});

describe('a gateway, asked wrongly', () => {
  it('answers every request with a code and a sentence, and stays usable', async () => {
    const gateway = await runGateway({ MAX_MESSAGE_BYTES: '1000' });
    const ann = await new Client(gateway.url, 'ann').join('r');
    const room = 'r';
    const refused: [string, unknown[], string, string][] = [
      ['room:join', [], 'BAD_REQUEST', 'expected one object as the payload'],
      ['room:join', ['r'], 'BAD_REQUEST', 'expected one object as the payload'],
      ['room:join', [null], 'BAD_REQUEST', 'expected one object as the payload'],
      ['room:join', [{ room }, { room }], 'BAD_REQUEST', 'expected one object as the payload'],
      ['room:join', [{}], 'BAD_REQUEST', 'room: expected a string'],
      ['room:join', [{ room: 5 }], 'BAD_REQUEST', 'room: expected a string'],
      ['room:join', [{ room: '' }], 'BAD_REQUEST', 'room: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -'],
      ['room:join', [{ room: 'a b' }], 'BAD_REQUEST', 'room: expected 1 to 128 of'],
      ['room:join', [{ room: 'x'.repeat(129) }], 'BAD_REQUEST', 'room: expected 1 to 128 of'],
      ['room:join', [{ room: ann.socket.id }], 'FORBIDDEN', 'belongs to a socket'],
      ['room:leave', [{ room: ['r'] }], 'BAD_REQUEST', 'room: expected a string'],
      ['room:send', [{ room: 'other', event: 'chat' }], 'NOT_IN_ROOM', 'join it first'],
      ['room:send', [{ room: ann.socket.id, event: 'chat' }], 'NOT_IN_ROOM', 'join it first'],
      ['room:send', [{ room }], 'BAD_REQUEST', 'event: expected a string'],
      ['room:send', [{ room, event: 'room:gap' }], 'BAD_REQUEST', 'does not begin with room: or server:'],
      ['room:send', [{ room, event: 'server:drain' }], 'BAD_REQUEST', 'does not begin with room: or server:'],
      ['room:send', [{ room, event: 'connect' }], 'BAD_REQUEST', 'Socket.IO does not reserve'],
      ['room:send', [{ room, event: 'chat', id: 'ü' }], 'BAD_REQUEST', 'id: expected 1 to 128 printable'],
      ['room:send', [{ room, event: 'chat', data: 'x'.repeat(1_000) }], 'TOO_LARGE', 'the limit is 1000'],
      ['room:send', [{ room, event: 'chat', data: Buffer.alloc(100_000) }], 'TOO_LARGE', 'the limit is 1000'],
      ['room:shout', [{ room }], 'BAD_REQUEST', 'unknown request "room:shout": expected one of room:join'],
      ['__proto__', [{ room }], 'BAD_REQUEST', 'unknown request'],
      ['toString', [], 'BAD_REQUEST', 'unknown request'],
    ];
    for (const [request, args, code, message] of refused) {
      const answer = await ann.ask(request, ...args);
      expect([request, answer]).toEqual([
        request,
        { ok: false, error: { code, message: expect.stringContaining(message) as string } },
      ]);
    }
    expect(
      await askRaw(ann, `["room:send",{"room":"r","event":"chat","data":${'['.repeat(20_000)}${']'.repeat(20_000)}}]`),
    ).toMatch(/BAD_REQUEST.*cannot be encoded/);
    // Without an acknowledgement there is nobody to tell, and nothing breaks.
    for (const [request, args] of refused) ann.socket.emit(request, ...args);
    expect(await ann.say('r', 'fine')).toMatchObject({ ok: true });
    await until('it is heard', () => ann.chats.includes('fine'));
    expect(ann.chats).toEqual(['fine']);
    ann.close();
    expect(await gateway.end('SIGTERM')).toBe(0);
    expect(gateway.output()).not.toMatch(/ERROR/);
  });

  it.each([
    [{ user: 'a b' }, 'auth.user: expected 1 to 128 of'],
    [{ user: 7 }, 'auth.user: expected a string'],
  ])('lets nobody in as %j', async (auth, message) => {
    const gateway = await runGateway({});
    const client = new Client(gateway.url, undefined, { auth, reconnection: false });
    const error = await new Promise<Error & { data?: unknown }>((resolve) =>
      client.socket.once('connect_error', resolve),
    );
    expect(error.message).toContain(message);
    expect(error.data).toEqual({ code: 'BAD_REQUEST', message: error.message });
    client.close();
    await gateway.end('SIGTERM');
  });
});

/** Sends a packet that a well-behaved client could not even write. Resolves with the packet that answers it. */
function askRaw({ socket }: Client, packet: string): Promise<string> {
  const id = 987_654;
  const { engine } = socket.io;
  return new Promise((resolve) => {
    engine.on('data', (data: unknown) => {
      if (typeof data === 'string' && data.startsWith(`3${id}`)) resolve(data);
    });
    engine.write(`2${id}${packet}`);
  });
}

async function occupy(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '0.0.0.0', resolve));
  return server;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** A free port whose successor is free too. */
async function freePair(): Promise<number> {
  for (;;) {
    const first = await occupy(0);
    const { port } = first.address() as AddressInfo;
    const second = await occupy(port + 1).catch(() => undefined);
    await close(first);
    if (second) {
      await close(second);
      return port;
    }
  }
}
