/*
 * Jobs as operators have them: worker processes that are killed, dead letters and the command for them, and senders that do
 * not know Roomcast.
 */
import { createAdapter, createBus, readEnvironment, Rooms, type Bus } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { ClientRMQ } from '@nestjs/microservices';
import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { endAll, runNode, type Running } from './processes.js';

const redisUrl = process.env['TEST_REDIS_URL']!;
const rabbitmqUrl = process.env['TEST_RABBITMQ_URL']!;
const brokers = [
  { transport: 'redis', address: { REDIS_URL: redisUrl } },
  { transport: 'rabbitmq', address: { RABBITMQ_URL: rabbitmqUrl } },
];

afterAll(endAll);

describe.each(brokers)('jobs over $transport', ({ transport, address }) => {
  let environment: NodeJS.ProcessEnv;
  let bus: Bus;
  const workers: Running[] = [];
  const closing: (() => unknown)[] = [];

  beforeEach(async () => {
    const BROADCAST_PREFIX = `j${randomBytes(4).toString('hex')}.`;
    environment = {
      BROADCAST_TRANSPORT: transport,
      ...address,
      BROADCAST_PREFIX,
      SHUTDOWN_GRACE: '2s',
      JOB_LEASE: '2s',
    };
    bus = createBus(readEnvironment(environment));
    bus.on('error', () => undefined);
    await bus.connect(15_000);
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.end('SIGKILL')));
    for (const close of closing.splice(0)) await close();
    await bus.close();
    await sweep(environment['BROADCAST_PREFIX']!);
  });

  function start(file: string, more: NodeJS.ProcessEnv = {}): Running {
    const started = runNode([file], { ...environment, ...more });
    workers.push(started);
    return started;
  }

  async function worker(file = 'dist/apps/worker/src/main.js', more: NodeJS.ProcessEnv = {}): Promise<Running> {
    const started = start(file, more);
    await until('the worker is at work', () => {
      if (started.child.exitCode !== null) throw new Error(started.output());
      return started.output().includes('is at work');
    });
    return started;
  }

  /** A client in these rooms, which remembers what it hears in each. */
  async function listener(rooms: readonly string[]): Promise<Map<string, unknown[]>> {
    const http = createServer();
    const server = new Server(http, { adapter: createAdapter(bus) });
    server.on('connection', (socket) => void Promise.resolve(socket.join([...rooms])).then(() => socket.emit('in')));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const { port } = http.address() as { port: number };
    const client: Socket = io(`http://127.0.0.1:${port}`, { forceNew: true, transports: ['websocket'] });
    closing.push(() => {
      client.disconnect();
      return server.close();
    });
    const heard = new Map<string, unknown[]>();
    client.on('news', (data: unknown, { room }: { room: string }) => {
      heard.set(room, [...(heard.get(room) ?? []), data]);
    });
    await new Promise((resolve) => client.once('in', resolve));
    return heard;
  }

  async function jobs(...args: string[]): Promise<string> {
    const run = runNode(['dist/apps/cli/src/main.js', 'jobs', ...args], environment);
    const code = await run.end();
    return `${run.output().trim()}${code === 0 ? '' : ` (exit ${code})`}`;
  }

  async function settled(queue = 'rooms') {
    await until('the queue is empty', async () => {
      const { waiting, running = 0, delayed } = await bus.jobs.stats(queue);
      return waiting + running + delayed === 0;
    });
  }

  it('are taken from any service that sends packets of Nest, and reach the rooms', async () => {
    const heard = await listener(['a', 'b']);
    await worker();
    const data = { rooms: ['a', 'b', 'a'], event: 'news', data: { n: 1 } };
    await foreign(environment['BROADCAST_PREFIX']!, { pattern: 'room.publish', data });
    await until('both rooms hear it', () => heard.size === 2);
    // Without an id, equal jobs are two jobs.
    await foreign(environment['BROADCAST_PREFIX']!, { pattern: 'room.publish', data });
    await until('both hear the second', () => [...heard.values()].every((all) => all.length === 2));
    await settled();
    expect(heard.get('a')).toEqual([{ n: 1 }, { n: 1 }]);
  });

  it('need no data to say in a room, as clients do not; what is no list of rooms is told in words', async () => {
    const heard = await listener(['a']);
    await worker();
    await bus.jobs.enqueue('rooms', 'room.publish', { rooms: ['a'], event: 'news' });
    await bus.jobs.enqueue('rooms', 'room.publish', { rooms: 'a', event: 'news' }, { id: 'wrong' });
    await until('it is heard', () => heard.get('a') !== undefined);
    expect(heard.get('a')).toEqual([null]);
    await until('the other is a dead letter', async () => (await bus.jobs.dead('rooms')).length === 1);
    const error = 'room.publish is wrong: rooms: expected a list of rooms';
    expect(await bus.jobs.dead('rooms')).toMatchObject([{ id: 'wrong', reason: 'refused', error }]);
  });

  it('survive a worker that is killed between the effect and the acknowledgement; the rooms hear it once', async () => {
    const heard = await listener(['a']);
    const first = await worker('test/system/jobs.worker.mjs', { DIE: 'after' });
    const { id } = await bus.jobs.enqueue('rooms', 'room.publish', { rooms: ['a'], event: 'news', data: 1 });
    await until('it is dead', () => first.child.signalCode === 'SIGKILL');
    expect(first.output()).toContain(`said ${id}`);
    const second = await worker('test/system/jobs.worker.mjs');
    await until('another one does it again', () => second.output().includes(`said ${id}`));
    await settled();
    await new Rooms(bus).publish({ room: 'a', event: 'news', data: 'last' });
    await until('what follows is heard', () => heard.get('a')?.at(-1) === 'last');
    expect(heard.get('a')).toEqual([1, 'last']);
  });

  it('that kill every worker are given up after their attempts, each a while after the other', async () => {
    const deaths: number[] = [];
    const { id } = await bus.jobs.enqueue('rooms', 'room.publish', { rooms: ['a'], event: 'news' });
    for (let i = 0; i < 3; i++) {
      const next = start('test/system/jobs.worker.mjs', { DIE: 'before', ATTEMPTS: '3' });
      await until('it is dead', () => next.child.signalCode === 'SIGKILL', 25_000);
      deaths.push(performance.now());
    }
    const last = await worker('test/system/jobs.worker.mjs', { ATTEMPTS: '3' });
    await until('it was given up', async () => (await bus.jobs.dead('rooms')).length === 1, 25_000);
    expect(last.output()).not.toContain('said');
    const [dead] = await bus.jobs.dead('rooms');
    expect(dead).toMatchObject({ id, reason: 'worker_lost', attempts: 3, error: 'its worker was lost at attempt 3' });
    for (const [i, death] of deaths.entries()) if (i > 0) expect(death - deaths[i - 1]!).toBeGreaterThan(450);
  }, 90_000);

  it('that cannot be done are listed, put back and forgotten by the command', async () => {
    const heard = await listener(['a']);
    const running = await worker();
    const wrong = await jobs('add', 'rooms', 'room.publish', '{"rooms":[],"event":"news"}', '--id', 'wrong');
    expect(wrong).toBe('wrong');
    expect(await jobs('add', 'rooms', 'room.close', '--id', 'unknown')).toBe('unknown');
    await until('both are given up', async () => (await bus.jobs.dead('rooms')).length === 2);
    const lines = (await jobs('dead', 'list', 'rooms')).split('\n').map((line) => JSON.parse(line));
    expect(lines.sort((a, b) => (a.id < b.id ? 1 : -1))).toEqual([
      {
        id: 'wrong',
        reason: 'refused',
        attempts: 1,
        error: 'room.publish is wrong: rooms: expected at least one room',
        at: expect.stringMatching(/^20\d\d-/),
        job: '{"pattern":"room.publish","data":{"rooms":[],"event":"news"},"id":"wrong"}',
      },
      expect.objectContaining({ id: 'unknown', reason: 'no_handler', attempts: 0 }),
    ]);
    expect(running.output()).toContain('expected at least one room');
    expect(await jobs('dead', 'list', 'rooms', '--id', 'unknown')).toMatch(/^\{"id":"unknown".*\}$/);
    expect(await jobs('dead', 'replay', 'rooms', '--id', 'wrong')).toBe('1 put back');
    await until('it is back among the dead', async () => (await bus.jobs.dead('rooms')).length === 2);
    const large = { rooms: ['a'], event: 'news', data: 'x'.repeat(65_536) };
    await bus.jobs.enqueue('rooms', 'room.publish', large, { id: 'large' });
    await until('it is given up', async () => (await bus.jobs.dead('rooms', { id: 'large' })).length === 1);
    expect((await bus.jobs.dead('rooms', { id: 'large' }))[0]).toMatchObject({ reason: 'refused', attempts: 1 });
    expect(await jobs('dead', 'purge', 'rooms')).toBe('3 forgotten');
    expect(await jobs('stats', 'rooms')).toMatch(
      /^waiting: 0\nrunning: (0|not told by this broker)\ndelayed: 0\ndead: 0\nrooms is empty: /,
    );
    const good = JSON.stringify({ rooms: ['a'], event: 'news', data: 'x' });
    await jobs('add', 'rooms', 'room.publish', good, '--delay', '1s');
    await until('it is heard', () => heard.get('a')?.length === 1);
    expect(await jobs('dead', 'list')).toMatch(/^roomcast: jobs dead list needs <queue> .*\(exit 2\)$/);
    expect(await jobs('add', 'rooms', 'x', 'not json')).toMatch(
      /^roomcast: the data: expected JSON.*, not not json .*\(exit 2\)$/,
    );
    expect(await jobs('dead', 'list', 'a b')).toMatch(/^roomcast: the queue "a b" is not valid.*\(exit 2\)$/);
  });

  it('to 10,000 rooms go on after a kill where they were, and no room hears it twice', async () => {
    const rooms = Array.from({ length: 10_000 }, (_, i) => `r${i}`);
    const heard = await listener(rooms);
    const first = await worker();
    const { id } = await bus.jobs.enqueue('rooms', 'room.publish', { rooms, event: 'news', data: 1 });
    const said = (by: Running) => [...by.output().matchAll(/(\d+) of 10000 room/g)].map(([, count]) => Number(count));
    await until('it has begun', () => said(first).length >= 3);
    first.child.kill('SIGKILL');
    await first.end();
    expect(said(first).at(-1)).toBeLessThan(10_000);
    const second = await worker();
    await until('another one ends it', () => said(second).at(-1) === 10_000, 60_000);
    await settled();
    await until('all rooms have heard it', () => heard.size === 10_000);
    await new Rooms(bus).publish({ room: 'r0', event: 'news', data: 'last' });
    await until('what follows is heard', () => heard.get('r0')?.at(-1) === 'last');
    expect(heard.get('r0')).toEqual([1, 'last']);
    expect([...heard.entries()].filter(([room, all]) => room !== 'r0' && all.length !== 1)).toEqual([]);
    // It did not begin anew.
    expect(said(second)[0]).toBeGreaterThan(said(first).at(-1)! - 1);
    expect(second.output()).toContain(`room.publish ${id}: 10000 of 10000 room(s)`);
  }, 120_000);

  it('are finished when a worker is told to end', async () => {
    const rooms = Array.from({ length: 3_000 }, (_, i) => `r${i}`);
    const first = await worker();
    const { id } = await bus.jobs.enqueue('rooms', 'room.publish', { rooms, event: 'news', data: 1 });
    await until('it has begun', () => first.output().includes(`room.publish ${id}: `));
    expect(await first.end('SIGTERM')).toBe(0);
    const second = await worker();
    await until('it is done', () => (first.output() + second.output()).includes('3000 of 3000'));
    await settled();
    const parts = [...(first.output() + second.output()).matchAll(/(\d+) of 3000/g)].map(([, count]) => Number(count));
    expect(parts).toEqual([500, 1_000, 1_500, 2_000, 2_500, 3_000]);
  });

  /** What a service that does not know Roomcast does. */
  async function foreign(prefix: string, packet: { pattern: string; data: unknown }): Promise<void> {
    if (transport === 'redis') {
      const redis = new Redis(redisUrl);
      await redis.xadd(`${prefix}roomcast:jobs:{rooms}`, '*', 'job', JSON.stringify(packet));
      redis.disconnect();
      return;
    }
    const queue = `${prefix}live_rooms.jobs.rooms`;
    const client = new ClientRMQ({ urls: [rabbitmqUrl], queue, noAssert: true, persistent: true });
    await client.connect();
    await new Promise((resolve, reject) =>
      client.emit(packet.pattern, packet.data).subscribe({ complete: () => resolve(undefined), error: reject }),
    );
    await client.close();
  }

  async function sweep(prefix: string): Promise<void> {
    if (transport === 'redis') {
      const redis = new Redis(redisUrl);
      const keys = await redis.keys(`${prefix}*`);
      if (keys.length > 0) await redis.del(...keys);
      redis.disconnect();
      return;
    }
    const connection = await connect(rabbitmqUrl);
    const channel = await connection.createChannel();
    const delays = [500, 1_000, 5_000, 30_000].map((ms) => `.retry.${ms}`);
    for (const end of ['', '.dead', ...delays]) await channel.deleteQueue(`${prefix}live_rooms.jobs.rooms${end}`);
    await connection.close();
  }
});

it('the command says what it can do, and that the embedded transport has nothing to show', async () => {
  const help = runNode(['dist/apps/cli/src/main.js', 'jobs', '--help']);
  expect(await help.end()).toBe(0);
  for (const word of ['stats', 'add', 'dead list', 'dead replay', 'dead purge']) expect(help.output()).toContain(word);
  const embedded = runNode(['dist/apps/cli/src/main.js', 'jobs', 'stats', 'rooms']);
  expect(await embedded.end()).toBe(2);
  expect(embedded.output()).toMatch(/^roomcast: the embedded transport .* set BROADCAST_TRANSPORT=redis or rabbitmq/);
});
