/*
 * The command line as an operator has it: every command, over real brokers and gateways, and what `doctor` finds in brokers
 * that are not as they should be.
 */
import { createBus, readEnvironment } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, type Socket } from 'socket.io';
import { startRabbitmq, type RabbitmqProcess } from '../brokers/rabbitmq.js';
import { startRedis, type RedisProcess } from '../brokers/redis.js';
import { Client, endAll, runGateway, runNode, type RunningGateway } from './processes.js';

const CLI = 'dist/apps/cli/src/main.js';
const redisUrl = process.env['TEST_REDIS_URL']!;
const rabbitmqUrl = process.env['TEST_RABBITMQ_URL']!;
const brokers = [
  { transport: 'redis', address: { REDIS_URL: redisUrl } },
  { transport: 'rabbitmq', address: { RABBITMQ_URL: rabbitmqUrl } },
];

interface Check {
  name: string;
  status: string;
  found: string;
  advice?: string;
}

afterAll(endAll);

function start(args: readonly string[], environment: NodeJS.ProcessEnv) {
  return runNode([CLI, ...args], environment);
}

async function run(args: readonly string[], environment: NodeJS.ProcessEnv) {
  const running = start(args, environment);
  return { code: await running.end(), output: running.output().trim() };
}

/** What it prints with --json. */
async function ask<T>(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<T & { code: number | null }> {
  const { code, output } = await run([...args, '--json'], environment);
  const from = output.search(/^[[{]/m);
  return Object.assign(JSON.parse(output.slice(from)) as T & object, { code });
}

function freshPrefix(): string {
  return `c${randomBytes(4).toString('hex')}.`;
}

async function examine(
  environment: NodeJS.ProcessEnv,
): Promise<{ code: number | null; check: (name: string) => Check | undefined; all: Check[] }> {
  const { code, checks } = await ask<{ checks: Check[] }>(['doctor'], environment);
  return { code, all: checks, check: (name) => checks.find((each) => each.name === name) };
}

describe.each(brokers)('over $transport', ({ transport, address }) => {
  const environment = { BROADCAST_TRANSPORT: transport, ...address, BROADCAST_PREFIX: freshPrefix() };
  let gateways: RunningGateway[];

  beforeAll(async () => {
    const names = ['gw-1', 'gw-2'];
    gateways = await Promise.all(names.map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })));
  });

  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.end('SIGTERM')));
    if (transport === 'redis') await sweepRedis(environment.BROADCAST_PREFIX);
    else await sweepRabbitmq(environment.BROADCAST_PREFIX);
  });

  it('lists the rooms and the instances, and is none itself', async () => {
    const [a, b] = gateways.map(({ url }) => url) as [string, string];
    const clients = [new Client(a, 'ann'), new Client(b, 'bob'), new Client(b, 'eve')];
    await Promise.all(clients.map((client) => client.join('tea')));
    await clients[0]!.join('coffee');
    const { code, rooms } = await ask<{ rooms: object[] }>(['rooms'], environment);
    expect([code, rooms]).toEqual([
      0,
      [
        { room: 'tea', sockets: 3, instances: 2 },
        { room: 'coffee', sockets: 1, instances: 1 },
      ],
    ]);
    expect((await run(['rooms', 'off'], environment)).output).toMatch(/^ROOM +SOCKETS +INSTANCES\ncoffee +1 +1$/);
    const instances = await ask<{ instance: string; role: string; rooms: number; version: string }[]>(
      ['instances'],
      environment,
    );
    expect(instances.map(({ instance, role, rooms }) => [instance, role, rooms])).toEqual([
      ['gw-1', 'gateway', 2],
      ['gw-2', 'gateway', 1],
    ]);
    expect((await gateways[0]!.ready()).body).toMatchObject({ status: 'ok' });
    // Whoever waits for all gateways to answer does not wait for one that has gone.
    expect(await ask<{ rooms: object[] }>(['rooms', 'nothing'], environment)).toMatchObject({
      rooms: [],
      instances: 2,
    });
    clients.forEach((client) => client.close());
  });

  it('says something in a room, and hears what is said there, from its history on', async () => {
    const ann = await new Client(gateways[0]!.url, 'ann').join('talk');
    for (const n of [1, 2, 3]) await ann.say('talk', { n });
    const tail = start(['tail', 'talk', '--last', '2', '--json'], environment);
    const lines = () =>
      tail
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as { event: string; data: unknown; from?: string; pos?: string });
    await until('it shows the last two', () => lines().length === 2, 15_000);
    const said = await ask<{ id: string; pos: string }>(
      ['publish', 'talk', 'chat', '{"n":4}', '--from', 'ops', '--id', 'x1'],
      environment,
    );
    expect(said).toMatchObject({ code: 0, id: 'x1' });
    await until('ann hears it', () => ann.chats.length === 4);
    expect(ann.heard.at(-1)).toMatchObject({ data: { n: 4 }, meta: { from: 'ops', id: 'x1', pos: said.pos } });
    await until('the tail hears it', () => lines().length === 3);
    expect(lines()).toMatchObject([
      { data: { n: 2 }, from: 'ann' },
      { data: { n: 3 }, from: 'ann' },
      { data: { n: 4 }, from: 'ops', pos: said.pos },
    ]);
    expect(await tail.end('SIGINT')).toBe(0);
    const text = await run(['tail', 'talk', '-n', '1', '--for', '100ms'], environment);
    expect(text).toEqual({ code: 0, output: expect.stringMatching(/^\S+ ops chat {"n":4}$/) as string });
    ann.close();
  });

  it('puts jobs into a queue, and counts them', async () => {
    const added = await ask<{ id: string }>(['jobs', 'add', 'letters', 'letter.send', '{"to":"ann"}'], environment);
    expect(added.code).toBe(0);
    expect(await ask(['jobs', 'stats', 'letters'], environment)).toMatchObject({ code: 0, waiting: 1, dead: 0 });
    expect(await run(['jobs', 'dead', 'list', 'letters'], environment)).toEqual({ code: 0, output: '' });
    expect((await run(['jobs', 'stats', 'nobodys'], environment)).output).toContain(
      'nobodys is empty: nothing has used it yet, or all of it is done.',
    );
    const purge = ['jobs', 'dead', 'purge', 'letters'];
    expect((await run([...purge, '--dry-run'], environment)).output).toBe('0 would be forgotten');
    expect(await ask([...purge, '--dry-run'], environment)).toMatchObject({ count: 0, dryRun: true });
    expect((await run(['jobs', 'dead', 'replay', 'letters'], environment)).output).toBe('0 put back');
    expect((await run(['jobs', 'dead', 'purge', 'letters'], environment)).output).toBe('0 forgotten');
  });

  it('says so where no gateway answers, which is a failure', async () => {
    const nobody = { ...environment, BROADCAST_PREFIX: freshPrefix() };
    for (const [command, empty] of [
      ['rooms', { total: 0, instances: 0, rooms: [] }],
      ['instances', []],
    ] as const) {
      const args = [command, '--wait', '200ms'];
      const said = 'No gateway has answered: are any running, and are BROADCAST_PREFIX and BROADCAST_SECRET theirs?';
      expect(await run(args, nobody)).toEqual({ code: 1, output: expect.stringContaining(said) as string });
      const json = start([...args, '--json'], nobody);
      let out = '';
      json.child.stdout!.on('data', (text) => (out += String(text)));
      expect([await json.end(), JSON.parse(out)]).toEqual([1, empty]);
    }
    if (transport === 'rabbitmq') await sweepRabbitmq(nobody.BROADCAST_PREFIX);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends at once with the first %s, whatever it waits for', async (signal, code) => {
    const bus = createBus(readEnvironment(environment));
    let isAsked = false;
    const stop = bus.control.on('rooms.stats', () => (isAsked = true));
    await bus.connect();
    const waiting = start(['rooms', '--wait', '30s'], environment);
    await until('it waits for answers', () => isAsked, 15_000);
    stop();
    await bus.close();
    const nowhere = { REDIS_URL: 'redis://127.0.0.1:9', RABBITMQ_URL: 'amqp://127.0.0.1:9' };
    const commands = ['rooms', 'tail r', 'publish r e', 'jobs stats q'];
    const lost = commands.map((args) => start(args.split(' '), { BROADCAST_TRANSPORT: transport, ...nowhere }));
    // The broker is away for each as soon as it is asked, and for 5 s.
    const ends = lost.map(async (each) => {
      await until('it looks for its broker', () => each.output().includes('reconnecting'), 15_000);
      return each.end(signal);
    });
    expect(await Promise.all([waiting.end(signal), ...ends])).toEqual(Array(5).fill(code));
    expect(lost.map((each) => each.output()).join('')).not.toContain('UNAVAILABLE');
  });

  it('puts load on a gateway, and keeps the books', async () => {
    const options = ['--clients', '40', '--rooms', '4', '--rate', '100', '--duration', '2s'];
    const report = await ask<Record<string, unknown> & { latency: { count: number; p99: number } }>(
      ['load', gateways[0]!.url, ...options],
      environment,
    );
    expect(report).toMatchObject({
      ...{ code: 0, ok: true, clients: 40, rooms: 4, sent: 200, acknowledged: 200 },
      ...{ expected: 2_000, received: 2_000, lost: 0, told: 0, duplicated: 0, refused: {} },
    });
    expect(report.latency.count).toBe(2_000);
    expect(report.latency.p99).toBeGreaterThan(0);
  });

  it('finds nothing in the way of an instance, and leaves nothing behind', async () => {
    const BROADCAST_PREFIX = freshPrefix();
    const { code, all } = await examine({ ...environment, BROADCAST_PREFIX });
    expect(all.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(code).toBe(0);
    const names = all.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['Node', 'open files', 'broker', 'clock', 'rights', 'live rooms', 'histories', 'jobs']),
    );
    if (transport === 'redis') {
      const redis = new Redis(redisUrl);
      const left = await redis.keys(`*${BROADCAST_PREFIX}*`);
      await redis.quit();
      expect(left).toEqual([]);
    } else {
      await sweepRabbitmq(BROADCAST_PREFIX);
    }
  });
});

describe('check-config', () => {
  it('says what the environment comes to, or what is wrong with it', async () => {
    const good = { BROADCAST_TRANSPORT: 'redis', REDIS_URL: 'redis://user:hush@example.org' };
    const { code, output } = await run(['check-config'], good);
    expect([code, output]).toEqual([0, expect.stringMatching(/^REDIS_URL=redis:\/\/user:\*\*\*@example\.org$/m)]);
    expect(await ask(['check-config'], good)).toMatchObject({ ok: true, settings: { PORT: 3_000 }, warnings: [] });
    expect(await run(['check-config'], { PORT: 'x' })).toEqual({
      code: 1,
      output: 'The environment is wrong: PORT: expected a port from 0 to 65535.',
    });
    expect(await ask(['check-config'], { REDIS_URL: 'redis://x' })).toMatchObject({
      warnings: ['BROADCAST_TRANSPORT is memory: the broker addresses that are set are not used.'],
    });
  });
});

describe('load', () => {
  it('says so where messages are lost, or come twice', async () => {
    const http = createServer();
    const server = new Server(http);
    server.on('connection', (socket: Socket) => {
      socket.on('room:join', async ({ room }: { room: string }, ack: (answer: object) => void) => {
        await socket.join(room);
        ack({ ok: true, room, count: 1 });
      });
      socket.on(
        'room:send',
        (
          { room, event, data }: { room: string; event: string; data: { n: number } },
          ack: (answer: object) => void,
        ) => {
          ack({ ok: true });
          if (data.n % 10 !== 3) server.to(room).emit(event, data, { room });
          if (data.n % 10 === 7) server.to(room).emit(event, data, { room });
        },
      );
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const options = ['--clients', '3', '--rooms', '1', '--rate', '100', '--duration', '1s'];
    const report = await ask<Record<string, unknown>>(['load', url, ...options], {});
    expect(report).toMatchObject({ code: 1, ok: false, acknowledged: 100, lost: 30, duplicated: 30 });
    await server.close();
  });

  it('goes on through the restart of a gateway, which loses nothing', async () => {
    const environment = { BROADCAST_TRANSPORT: 'redis', REDIS_URL: redisUrl, BROADCAST_PREFIX: freshPrefix() };
    const first = await runGateway(environment);
    const load = start(['load', first.url, '-c', '20', '-r', '2', '--rate', '50', '-d', '5s', '--json'], {});
    await until('it has begun', () => /[1-9]\d* delivered\/s/.test(load.output()), 15_000);
    await first.end('SIGTERM');
    const second = await runGateway({ ...environment, PORT: new URL(first.url).port });
    expect(await load.end()).toBe(0);
    const report = JSON.parse(load.output().slice(load.output().search(/^{/m))) as Record<string, number>;
    expect(report).toMatchObject({ acknowledged: 250, expected: 2_500, received: 2_500, lost: 0, duplicated: 0 });
    expect(report['reconnects']).toBeGreaterThanOrEqual(20);
    expect(report['recovered']).toBeGreaterThanOrEqual(0);
    await second.end('SIGTERM');
    await sweepRedis(environment.BROADCAST_PREFIX);
  }, 60_000);

  it('says so where nobody answers, and where nobody is let in', async () => {
    const refusing = createServer();
    const server = new Server(refusing);
    server.use((_socket, next) =>
      next(Object.assign(new Error('no'), { data: { code: 'UNAUTHENTICATED', message: 'no' } })),
    );
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
    const { port } = refusing.address() as AddressInfo;
    const [refused, alone] = await Promise.all([
      run(['load', `http://127.0.0.1:${port}`, '-c', '2', '-r', '1'], {}),
      run(['load', 'http://127.0.0.1:9', '-c', '2', '-r', '1'], {}),
    ]);
    expect(refused).toEqual({ code: 1, output: expect.stringContaining('UNAUTHENTICATED: no') as string });
    expect(alone.code).toBe(1);
    expect(alone.output).toContain(
      'UNAVAILABLE: not all clients could enter within 10 s: is a gateway at http://127.0.0.1:9?',
    );
    await server.close();
  });
});

describe('load, where tokens are asked for', () => {
  const secret = 'only-for-this-test-only-for-this-test';
  const tokenOf = (user: string) =>
    new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(user).sign(new TextEncoder().encode(secret));
  let gateway: RunningGateway;
  const options = ['-c', '4', '-r', '2', '--rate', '20', '-d', '500ms'];

  beforeAll(async () => {
    const access = { AUTH_JWT_SECRET: secret, AUTH_ANONYMOUS: 'false', MAX_CONNECTIONS_PER_USER: '2' };
    gateway = await runGateway({ BROADCAST_TRANSPORT: 'memory', ...access });
  });

  afterAll(() => gateway.end('SIGTERM'));

  it('has its clients take them in turn, from the command line and from a file', async () => {
    const [ann, bob] = (await Promise.all(['ann', 'bob'].map(tokenOf))) as [string, string];
    const args = ['load', gateway.url, ...options];
    expect(await ask([...args, '--token', ann, '--token', bob], {})).toMatchObject({
      code: 0,
      acknowledged: 10,
      lost: 0,
    });
    const folder = mkdtempSync(join(tmpdir(), 'roomcast-tokens-'));
    const file = join(folder, 'tokens');
    writeFileSync(file, `${ann}\n${bob}\n`);
    expect(await ask([...args, '--token-file', file], {})).toMatchObject({ code: 0, acknowledged: 10, lost: 0 });
    rmSync(folder, { recursive: true });
  });

  it('says what is missing where there are none, or too few', async () => {
    const [none, few] = await Promise.all([
      run(['load', gateway.url, ...options], {}),
      run(['load', gateway.url, ...options, '--token', await tokenOf('eve')], {}),
    ]);
    expect([none.code, few.code]).toEqual([1, 1]);
    expect(none.output).toMatch(/UNAUTHENTICATED: .*\(give tokens with --token or --token-file\)$/);
    expect(few.output).toMatch(/RATE_LIMITED: eve has 2 connections already.*tokens of more users with --token-file/);
  });
});

describe('the doctor, with a Redis that is not as it should be', () => {
  let redis: RedisProcess;
  const environment = () => ({ BROADCAST_TRANSPORT: 'redis', REDIS_URL: redis.url, BROADCAST_PREFIX: 'd.' });
  const as = (user: string) => ({ ...environment(), REDIS_URL: redis.url.replace('//', `//${user}:secret@`) });

  beforeAll(async () => {
    redis = await startRedis({ args: ['--enable-protected-configs', 'yes'] });
  });

  afterAll(() => redis.stop());

  it('says that nobody is there, and that the password is wrong', async () => {
    const nobody = await examine({ ...environment(), REDIS_URL: 'redis://127.0.0.1:9' });
    expect(nobody.code).toBe(1);
    expect(nobody.check('broker')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('nothing listens there') as string,
    });
    const encrypted = await examine({ ...environment(), REDIS_URL: redis.url.replace('redis:', 'rediss:') });
    expect(encrypted.check('broker')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('it does not speak TLS there') as string,
    });
    const wrong = await examine(as('nobody'));
    expect(wrong.check('broker')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('the password in REDIS_URL') as string,
    });
  });

  it('says which rights a user lacks; with those of the docs it lacks none', async () => {
    await redis.cli('acl', 'setuser', 'reader', 'on', '>secret', '~*', '&*', '+@all', '-publish', '-evalsha', '-eval');
    const reader = await examine(as('reader'));
    expect(reader.code).toBe(1);
    expect(reader.check('live rooms')).toMatchObject({
      status: 'fail',
      found: expect.stringContaining('NOPERM') as string,
    });
    const docs = readFileSync('docs/cli.md', 'utf8');
    const [, rights] = /^ACL SETUSER roomcast on >secret (.*)$/m.exec(docs) ?? [];
    await redis.cli('acl', 'setuser', 'roomcast', 'on', '>secret', ...rights!.replaceAll('PREFIX', 'd.').split(' '));
    const entitled = await examine(as('roomcast'));
    expect(entitled.all.filter(({ status }) => status === 'fail')).toEqual([]);
    const gateway = await runGateway(as('roomcast'));
    const ann = await new Client(gateway.url, 'ann').join('r');
    expect(await ann.say('r', 'hi')).toMatchObject({ ok: true });
    ann.close();
    await gateway.end('SIGTERM');
  });

  it('says that histories take nothing, and why', async () => {
    const settings = { ...environment(), HISTORY_SIZE: '9' };
    const histories = async (user?: string) =>
      (await examine({ ...settings, ...(user !== undefined && { REDIS_URL: as(user).REDIS_URL }) })).check('histories');
    await redis.cli('acl', 'setuser', 'keyless', 'on', '>secret', '&*', '+@all');
    expect(await histories('keyless')).toMatchObject({
      status: 'fail',
      found: expect.stringContaining('NOPERM') as string,
      advice: expect.stringContaining('rights') as string,
    });
    await redis.cli('config', 'set', 'maxmemory', '1mb');
    expect(await histories()).toMatchObject({
      status: 'fail',
      found: expect.stringContaining('OOM') as string,
      advice: expect.stringContaining('maxmemory') as string,
    });
    await redis.cli('config', 'set', 'maxmemory', '0');
  });

  it('says what is wrong with its settings, and that its disk takes nothing', async () => {
    await redis.cli('config', 'set', 'maxmemory-policy', 'allkeys-lru');
    await redis.cli('config', 'set', 'client-output-buffer-limit', 'pubsub 65536 65536 1');
    const gone = mkdtempSync(join(tmpdir(), 'roomcast-gone-'));
    await redis.cli('config', 'set', 'dir', gone);
    rmSync(gone, { recursive: true });
    await redis.cli('bgsave');
    await until('it has failed', async () =>
      (await redis.cli('info', 'persistence')).includes('rdb_last_bgsave_status:err'),
    );
    const { code, check } = await examine(environment());
    expect(code).toBe(1);
    expect(check('persistence')).toMatchObject({
      status: 'fail',
      found: expect.stringContaining('the disk may be full') as string,
    });
    expect(check('maxmemory-policy')).toMatchObject({
      status: 'warn',
      found: expect.stringContaining('allkeys-lru') as string,
    });
    expect(check('client-output-buffer-limit')).toMatchObject({ status: 'fail' });
    const text = await run(['doctor'], environment());
    expect(text.output).toMatch(/^FAIL +persistence/m);
    expect(text.output).toMatch(/→ make room on the disk/);
  });
});

describe('the doctor, with a RabbitMQ that is not as it should be', () => {
  let rabbitmq: RabbitmqProcess;
  const environment = (user = 'guest', password = 'guest') => ({
    BROADCAST_TRANSPORT: 'rabbitmq',
    RABBITMQ_URL: rabbitmq.url.replace('guest:guest', `${user}:${password}`),
  });

  beforeAll(async () => {
    rabbitmq = await startRabbitmq();
  }, 100_000);

  afterAll(() => rabbitmq.stop());

  it('says which rights a user lacks, and that it has none at all', async () => {
    await rabbitmq.ctl('add_user', 'limited', 'secret');
    const none = await examine(environment('limited', 'secret'));
    expect(none.check('broker')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('permissions') as string,
    });
    await rabbitmq.ctl('set_permissions', 'limited', '^$', '.*', '.*');
    const limited = await examine(environment('limited', 'secret'));
    expect(limited.code).toBe(1);
    expect(limited.check('rights')).toMatchObject({
      status: 'fail',
      found: expect.stringMatching(/refused for user 'limited'/) as string,
    });
    const docs = readFileSync('docs/cli.md', 'utf8');
    const [, rights] = /^rabbitmqctl set_permissions roomcast (.*)$/m.exec(docs) ?? [];
    await rabbitmq.ctl(
      'set_permissions',
      'limited',
      ...rights!.split(' ').map((each) => each.replaceAll("'", '').replaceAll('PREFIX', '')),
    );
    const entitled = await examine(environment('limited', 'secret'));
    expect(entitled.all.filter(({ status }) => status === 'fail')).toEqual([]);
    const wrong = await examine(environment('limited', 'wrong'));
    expect(wrong.check('broker')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('the password in RABBITMQ_URL') as string,
    });
  }, 60_000);

  it('says that its disk is full', async () => {
    await rabbitmq.ctl('set_disk_free_limit', '1000000GB');
    await until('it has noticed', async () => (await rabbitmq.ctl('status')).includes('Free disk space alarm'), 20_000);
    const { code, check } = await examine(environment());
    expect(code).toBe(1);
    expect(check('alarms')).toMatchObject({
      status: 'fail',
      found: expect.stringContaining('disk') as string,
      advice: expect.stringContaining('make room on its disk') as string,
    });
    // And every command that needs it, with rooms that are kept and without.
    const commands = [
      ['publish', 'talk', 'chat', '1'],
      ['jobs', 'add', 'letters', 'letter.send'],
      ['rooms'],
      ['tail', 'talk'],
    ].map((args, i) => ({ args, HISTORY_SIZE: i < 2 ? '0' : '9' }));
    const answers = await Promise.all(
      commands.map(({ args, HISTORY_SIZE }) => run(args, { ...environment(), HISTORY_SIZE })),
    );
    for (const { code, output } of answers) {
      expect(code).toBe(1);
      expect(output.split('\n').at(-1)).toContain('takes no messages (low on disk)');
    }
  }, 90_000);
});

async function sweepRedis(prefix: string): Promise<void> {
  const redis = new Redis(redisUrl);
  const keys = await redis.keys(`*${prefix}*`);
  if (keys.length > 0) await redis.unlink(...keys);
  await redis.quit();
}

/** What an instance makes, and what the tests have put into. */
async function sweepRabbitmq(prefix: string): Promise<void> {
  const connection = await connect(rabbitmqUrl);
  const channel = await connection.createChannel();
  for (const queue of [
    'live_rooms.log',
    'live_rooms.dead',
    'live_rooms.jobs.letters',
    'live_rooms.jobs.letters.dead',
  ]) {
    await channel.deleteQueue(`${prefix}${queue}`);
  }
  for (const exchange of ['live_rooms', 'live_rooms.dlx', 'roomcast'])
    await channel.deleteExchange(`${prefix}${exchange}`);
  await connection.close();
}
