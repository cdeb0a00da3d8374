/*
 * What strangers do on purpose: names that are special elsewhere, rooms by the thousand, connections that never ask, and
 * messages beyond all limits. The others notice nothing, and nothing is left of it.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { startRabbitmq } from '../brokers/rabbitmq.js';
import { startRedis } from '../brokers/redis.js';
import { brokerOf, pairs, type Pair } from './pair.js';
import { Client, endAll, runGateway, runNode, type RunningGateway } from './processes.js';

interface Inspector {
  open(output: string): Promise<this>;
  memory(): Promise<{ heap: number; rss: number }>;
  close(): void;
}
// In a variable, because there are no types for it.
const inspectorFile: string = '../../scripts/fuzz/inspector.mjs';
const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };
const HEADERS = { 'content-type': 'application/json' };

afterAll(endAll);

async function inspect(gateway: RunningGateway): Promise<Inspector> {
  const { Inspector } = (await import(inspectorFile)) as { Inspector: new () => Inspector };
  return new Inspector().open(gateway.output());
}

async function connections(url: string): Promise<number> {
  const response = await fetch(`${url}/health/ready`);
  return ((await response.json()) as { connections: number }).connections;
}

describe.each(pairs)('names that every object has, over %s', (_transport, start) => {
  let pair: Pair;
  const clients: Client[] = [];

  beforeAll(async () => {
    pair = await start({ HISTORY_SIZE: '100' });
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.close();
    await pair.end();
  });

  it.each(['__proto__', 'constructor', 'toString'])(
    'are names of rooms, users, events and fields: %s',
    async (name) => {
      const [one, other] = [new Client(pair.urls[0], name), new Client(pair.urls[1], 'ann')];
      clients.push(one, other);
      await Promise.all([one.join(name), other.join(name)]);
      const data: unknown = JSON.parse(`{"${name}":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}`);
      expect(await one.ask('room:send', { room: name, event: name, data, id: name })).toMatchObject({
        ok: true,
        id: name,
      });
      await until('it is heard', () => other.heard.length === 1);
      const [heard] = other.heard;
      expect([heard!.event, heard!.meta!.from, JSON.stringify(heard!.data)]).toEqual([
        name,
        name,
        JSON.stringify(data),
      ]);
      await until('both are there', async () => {
        const { members } = await other.ask<{ members: string[] }>('room:presence', { room: name });
        return JSON.stringify([...members].sort()) === JSON.stringify([name, 'ann'].sort());
      });

      const call = async (method: string, path: string, body?: object) => {
        const init = { method, ...(body && { headers: HEADERS, body: JSON.stringify(body) }) };
        const response = await fetch(pair.urls[1] + path, init);
        return [response.status, await response.json()] as const;
      };
      expect(await call('POST', `/v1/rooms/${name}/messages`, { event: 'chat', data })).toMatchObject([201, {}]);
      await until('it is heard', () => one.chats.length === 1);
      expect(JSON.stringify(one.chats)).toBe(JSON.stringify([data]));
      expect(await call('PUT', `/v1/rooms/${name}/mutes/${name}`, { duration: '1m' })).toMatchObject([
        200,
        { user: name },
      ]);
      await until('it is muted', async () => (await one.say(name, 1)).error?.code === 'FORBIDDEN');
      expect(await call('DELETE', `/v1/rooms/${name}/mutes/${name}`)).toEqual([200, { lifted: true }]);
      expect(await call('DELETE', `/v1/rooms/${name}/members/${name}`)).toMatchObject([
        200,
        { user: name, sockets: 1 },
      ]);
      const { messages } = await other.ask<{ messages: { data: unknown }[] }>('room:history', { room: name });
      expect(JSON.stringify(messages.map((message) => message.data))).toBe(JSON.stringify([data, data]));
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    },
  );

  it('nesting is bounded: what is stored can be written again', async () => {
    const ann = new Client(pair.urls[0], 'ann');
    clients.push(ann);
    await ann.join('deep');
    for (const levels of [100, 1_000, 2_500, 3_000, 3_500, 4_000, 5_000, 7_000, 20_000]) {
      const data: unknown = JSON.parse('['.repeat(levels) + ']'.repeat(levels));
      // What is too deep for this client's own JSON.stringify is sent as it is.
      const packet = JSON.stringify(['room:send', { room: 'deep', event: 'chat', data: 0 }]);
      const text = packet.replace('"data":0', `"data":${'['.repeat(levels)}${']'.repeat(levels)}`);
      const { engine } = ann.socket.io;
      engine.write(`2${text}`);
      if (levels < 500) await until('it is heard', () => ann.chats.length === 1);
      else if (levels < 3_000) {
        const answer = await ann.ask('room:send', { room: 'deep', event: 'chat', data });
        expect(answer).toMatchObject({
          error: { code: 'BAD_REQUEST', message: expect.stringContaining('levels') as string },
        });
      }
      expect(await ann.ask('room:history', { room: 'deep' })).toMatchObject({ ok: true, messages: { length: 1 } });
    }
    const later = new Client(pair.urls[1], 'bob');
    clients.push(later);
    expect(await later.ask('room:join', { room: 'deep' })).toMatchObject({ ok: true });
    expect(await later.ask('room:history', { room: 'deep' })).toMatchObject({ ok: true, messages: { length: 1 } });
  });
});

describe.each([
  [
    'redis',
    async () => {
      const broker = await startRedis();
      const channels = async () => (await broker.cli('pubsub', 'channels')).split('\n').sort();
      return { broker, environment: { REDIS_URL: broker.url }, channels };
    },
  ],
  [
    'rabbitmq',
    async () => {
      const broker = await startRabbitmq();
      const channels = async () =>
        (await broker.ctl('list_bindings', 'source_name', 'routing_key', 'destination_name')).split('\n').sort();
      return { broker, environment: { RABBITMQ_URL: broker.url }, channels };
    },
  ],
])('a socket that joins and leaves 10,000 rooms, over %s', (BROADCAST_TRANSPORT, start) => {
  it('leaves nothing behind, here or at the broker', async () => {
    const { broker, environment, channels } = await start();
    const ROOM_PROFILES = '{"live":{"history":{"size":0}}}';
    const gateway = await runGateway({ BROADCAST_TRANSPORT, ROOM_PROFILES, ...environment, ...INSPECTED });
    const inspector = await inspect(gateway);
    const roams = async (ann: Client, rooms: number) => {
      const names = Array.from({ length: rooms }, (_, i) => `${i % 2 ? 'live' : 'kept'}:${i}`);
      for (const request of ['room:join', 'room:leave']) {
        for (let i = 0; i < rooms; i += 500) {
          const asked = names.slice(i, i + 500).map((room) => ann.ask(request, { room }));
          expect((await Promise.all(asked)).filter(({ ok }) => !ok)).toEqual([]);
        }
      }
    };
    try {
      const ann = new Client(gateway.url);
      // What is only built once is not what grows.
      await roams(ann, 500);
      const bare = /live:|kept:/;
      await until('the first are let go', async () => !bare.test((await channels()).join()), 30_000);
      const [before, heldBefore] = [await channels(), await inspector.memory()];
      await roams(ann, 10_000);
      await until('the broker is told', async () => (await channels()).join() === before.join(), 60_000);
      await until('memory is what it was', async () => (await inspector.memory()).heap < heldBefore.heap + 6, 60_000);
      expect(await ann.ask('room:join', { room: 'live:1' })).toMatchObject({ ok: true });
      ann.close();
    } finally {
      inspector.close();
      await gateway.end('SIGTERM');
      await broker.stop();
    }
  }, 150_000);
});

describe('a gateway among strangers', () => {
  let gateway: RunningGateway;
  let inspector: Inspector;
  let port: number;

  beforeAll(async () => {
    gateway = await runGateway(INSPECTED);
    inspector = await inspect(gateway);
    port = Number(new URL(gateway.url).port);
  }, 60_000);
  afterAll(async () => {
    inspector.close();
    expect(await gateway.end('SIGTERM')).toBe(0);
  });

  async function talk(): Promise<void> {
    const [ann, bob] = await Promise.all([new Client(gateway.url).join('r'), new Client(gateway.url).join('r')]);
    const word = randomBytes(4).toString('hex');
    expect(await ann.say('r', word)).toMatchObject({ ok: true });
    await until('it is heard', () => bob.chats.includes(word));
    ann.close();
    bob.close();
  }

  it('ends a thousand connections that never ask, and lets others in meanwhile', async () => {
    const upgrade =
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
    // Nothing at all; half a request; a line of headers without an end; a websocket that does not ask to be let in.
    const beginnings = ['', 'GET /socket.io/?EIO=4', 'GET / HTTP/1.1\r\nHost: x\r\nX: ', upgrade];
    await talk();
    const poller = await new Client(gateway.url, 'poller', { transports: ['polling'] }).join('polled');
    let lost = 0;
    poller.socket.on('disconnect', () => lost++);
    const before = await inspector.memory();
    let open = 0;
    const silent = Array.from({ length: 1_000 }, (_, i): Socket => {
      const socket = connect(port, '127.0.0.1', () => open++);
      socket.write(beginnings[i % beginnings.length]!);
      return socket.resume().on('error', () => undefined);
    });
    const ended = silent.map(
      (socket) => new Promise((resolve) => socket.once('close', resolve).once('end', () => socket.end())),
    );
    await until('all are there', () => open === 1_000);
    await talk();
    await Promise.race([
      Promise.all(ended),
      until('none is left', () => false, 20_000), // 10 s of silence, 2 s to say goodbye, and a busy machine
    ]);
    await talk();
    // One who has asked, and waits for as long.
    expect(lost).toBe(0);
    poller.close();
    await until('memory is what it was', async () => (await inspector.memory()).heap < before.heap + 6, 30_000);
  }, 60_000);

  it('drops messages beyond all limits, however many, and keeps nothing of them', async () => {
    await talk();
    const before = await inspector.memory();
    const large = Buffer.alloc(2 * 1024 * 1024, '4');
    for (let round = 0; round < 5; round++) {
      const closed = Array.from({ length: 20 }, async () => {
        const ws = new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`);
        ws.on('error', () => undefined);
        await new Promise((resolve) => ws.once('message', resolve));
        const end = new Promise((resolve) => ws.once('close', resolve));
        for (let i = 0; i < 3; i++) ws.send(large);
        return end;
      });
      const polled = await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`);
      const { sid } = JSON.parse((await polled.text()).slice(1)) as { sid: string };
      const posted = fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, {
        method: 'POST',
        body: large,
      });
      expect([413, 0]).toContain(await posted.then(({ status }) => status).catch(() => 0));
      await talk();
      await Promise.all(closed);
    }
    await until('they are gone', async () => (await connections(gateway.url)) === 0);
    await until('memory is what it was', async () => (await inspector.memory()).heap < before.heap + 6, 30_000);
  }, 60_000);
});

describe('a history that somebody else has written over', () => {
  it.each([
    ['another kind', 'log', ['SET', 'x']],
    ['another kind of top', 'meta', ['SET', 'x']],
    ['a top that is no number', 'meta', ['HSET', 's', 'x']],
  ])('with %s refuses with a code, and is one again when that is deleted', async (_what, part, [command, ...value]) => {
    const environment = brokerOf('redis');
    const gateway = await runGateway({ ...environment, ROOM_PROFILES: '{"live":{"history":{"size":0}}}' });
    const redis = new Redis(process.env['TEST_REDIS_URL']!);
    const key = `{${environment['BROADCAST_PREFIX']}live_room:r}:${part}`;
    try {
      const ann = await new Client(gateway.url).join('r');
      expect(await ann.say('r', 1)).toMatchObject({ ok: true });
      if (command === 'SET') await redis.del(key);
      await redis.call(command!, key, ...value);
      const codes = [await ann.say('r', 2), await ann.ask('room:history', { room: 'r' })].map(
        ({ ok, error }) => error?.code ?? ok,
      );
      for (const code of codes) expect(['UNAVAILABLE', true]).toContain(code);
      expect(codes).toContain('UNAVAILABLE');
      await redis.del(key);
      // Between the two histories there is a gap, of which is told; then everything is heard.
      await until('it is heard again', async () => (await ann.say('r', 3)).ok && ann.chats.includes(3));
      ann.close();
    } finally {
      redis.disconnect();
      await gateway.end('SIGTERM');
    }
    // Told once, as what Redis refuses, and without a stack.
    expect(gateway.output().match(/ERROR.*/g)).toEqual([expect.stringContaining('Redis refuses: ')]);
    expect(gateway.output()).not.toMatch(/INTERNAL|^ +at /m);
  });
});

describe('npm run fuzz', () => {
  it.each([
    ['socket', []],
    ['http', []],
    ['bus', ['--transport', 'redis']],
    ['bus', ['--transport', 'rabbitmq', '--secret']],
  ])(
    'finds nothing in a short run: %s %j',
    async (surface, more) => {
      const fuzz = runNode([
        'scripts/fuzz.mjs',
        '--surface',
        surface,
        '--inputs',
        '1000',
        '--seed',
        '7',
        '--json',
        ...more,
      ]);
      const code = await fuzz.end();
      const { inputs, findings } = JSON.parse(fuzz.output()) as { inputs: number; findings: object[] };
      expect([code, inputs, findings]).toEqual([0, 1_000, []]);
    },
    60_000,
  );
});
