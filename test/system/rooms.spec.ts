/*
 * The main job, as its users have it: two gateways and a worker as processes, real clients, over each broker.
 */
import { until } from '@app/broadcast/testing';
import { connect } from 'amqplib';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { startRabbitmq } from '../brokers/rabbitmq.js';
import { startRedis } from '../brokers/redis.js';
import { Client, endAll, runGateway, runNode, type Answer, type RunningGateway } from './processes.js';

const brokers = [
  { transport: 'redis', variable: 'REDIS_URL', shared: process.env['TEST_REDIS_URL']!, start: () => startRedis() },
  {
    transport: 'rabbitmq',
    variable: 'RABBITMQ_URL',
    shared: process.env['TEST_RABBITMQ_URL']!,
    start: () => startRabbitmq(),
  },
];

afterAll(endAll);

describe.each(brokers)('two gateways over $transport', ({ transport, variable, shared, start }) => {
  const BROADCAST_PREFIX = `s${randomBytes(4).toString('hex')}.`;
  // Live rooms: those with history are history.spec.ts's.
  const environment = { BROADCAST_TRANSPORT: transport, [variable]: shared, BROADCAST_PREFIX, HISTORY_SIZE: '0' };
  const clients: Client[] = [];
  let gateways: RunningGateway[];

  beforeAll(async () => {
    gateways = await Promise.all(['gw-1', 'gw-2'].map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })));
  });
  afterEach(() => clients.splice(0).forEach((client) => client.close()));
  afterAll(() => Promise.all(gateways.map((gateway) => gateway.end('SIGTERM'))));

  function client(gateway: number, user?: string, options?: object): Client {
    const made = new Client(gateways[gateway]!.url, user, options);
    clients.push(made);
    return made;
  }

  it("refuse a room that is a socket's own, on whichever of them the socket is", async () => {
    const [ann, bob] = await Promise.all([client(0).join('x'), client(1).join('x')]);
    const refusal = { ok: false, error: { code: 'FORBIDDEN', message: 'that name belongs to a socket' } };
    for (const { socket } of [ann, bob]) expect(await bob.ask('room:join', { room: socket.id })).toEqual(refusal);
    expect(await bob.ask('room:join', { room: 'abcdefghij0123456789' })).toMatchObject({ ok: true, count: 1 });
  });

  it('carry what is said to one to the sockets on the other, once, in order, with meta', async () => {
    const [ann, bob] = await Promise.all([client(0, 'ann').join('123'), client(1, 'bob').join('123')]);
    const count = 300;
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => ann.say('123', { i })));
    expect(answers.every(({ ok, id }) => ok && id !== undefined)).toBe(true);
    await until('both have heard everything', () => ann.chats.length >= count && bob.chats.length >= count);
    for (const { chats } of [ann, bob]) expect(chats).toEqual(Array.from({ length: count }, (_, i) => ({ i })));
    const [first] = bob.heard;
    expect(first!.meta).toEqual({ room: '123', id: answers[0]!.id, at: expect.any(Number) as number, from: 'ann' });
  });

  it('count who is in a room on both, and stop when somebody leaves', async () => {
    const [ann, bob] = [client(0, 'ann'), client(1, 'bob')];
    expect((await ann.ask('room:join', { room: 'c' })).count).toBe(1);
    expect((await bob.ask('room:join', { room: 'c' })).count).toBe(2);
    expect(await bob.ask('room:leave', { room: 'c' })).toEqual({ ok: true });
    // What is still on its way to bob's gateway when he comes back would be for him, too.
    const eve = await client(1, 'eve').join('c');
    await ann.say('c', 'bob must not hear this');
    await until("bob's gateway has it", () => eve.chats.length > 0);
    await bob.join('c');
    await ann.say('c', 'but this');
    await until('the second arrives', () => bob.chats.length > 0);
    expect(bob.chats).toEqual(['but this']);
  });

  it('take the same id for the same message', async () => {
    const [ann, bob] = await Promise.all([client(0).join('same'), client(1).join('same')]);
    for (const text of ['one', 'one again'])
      expect(await ann.say('same', text, 'id-1')).toEqual({ ok: true, id: 'id-1' });
    expect(await bob.say('same', 'from elsewhere', 'id-1')).toEqual({ ok: true, id: 'id-1' });
    await ann.say('same', 'two', 'id-2');
    await until('the last arrives', () => ann.chats.includes('two') && bob.chats.includes('two'));
    expect([ann.chats, bob.chats]).toEqual([
      ['one', 'two'],
      ['one', 'two'],
    ]);
  });

  it.each(['websocket', 'polling'])('carry bytes to a client on %s', async (how) => {
    const [ann, bob] = await Promise.all([client(0).join('b'), client(1, 'bob', { transports: [how] }).join('b')]);
    await ann.say('b', { file: Buffer.from([0, 1, 255]), more: [Buffer.from('x')] });
    await ann.say('b', 'text');
    await until('both arrive', () => bob.chats.length === 2);
    expect(bob.chats).toEqual([{ file: Buffer.from([0, 1, 255]), more: [Buffer.from('x')] }, 'text']);
  });

  it('hear a service in any language that publishes to the names at the broker', async () => {
    const members = await Promise.all([client(0).join('123'), client(1).join('123'), client(1).join('123')]);
    const outsider = await client(0).join('1234');
    const publish = await foreign(transport, shared, BROADCAST_PREFIX);
    await publish('123', '{"event":"chat","text":"Hello!"}');
    await until('every member hears it', () => members.every(({ heard }) => heard.length > 0));
    await publish('1234', '{"event":"chat","data":"last"}');
    await until('the outsider hears only its own', () => outsider.heard.length > 0);
    for (const { heard } of members) {
      expect(heard).toEqual([
        { event: 'chat', data: { text: 'Hello!' }, meta: { room: '123', at: expect.any(Number) as number } },
      ]);
    }
    expect(outsider.chats).toEqual(['last']);
  });

  it('drop garbage on the channels, and nobody is disconnected', async () => {
    const [ann, bob] = await Promise.all([client(0).join('g'), client(1).join('g')]);
    const publish = await foreign(transport, shared, BROADCAST_PREFIX);
    const garbage = [
      'not json',
      '',
      '{}',
      '[]',
      'null',
      '42',
      '{"event":5}',
      '{"event":"connect"}',
      '{"event":"chat"',
      '{"v":1,"id":"x","room":"g","origin":"gw-9","args":["chat",nope]}',
      '{"v":1,"room":"g","args":"chat"}',
      '{"v":1,"room":5,"args":["chat",1]}',
      '{"v":1,"room":"g","args":["disconnect"]}',
      '{"v":1,"room":"g","origin":"gw-1","args":["chat",{"te]}',
      '{"v":1,"room":"g","origin":"gw-2","args":["disconnect"]}',
      '{"v":2,"room":"g","args":["chat","from the future"]}',
      Buffer.from([1, 0, 0, 0, 99, 1]),
      Buffer.from([0xff, 0xfe, 0x00]),
      Buffer.concat([Buffer.from('{"v":1,"room":"g","args":["chat","'), Buffer.from([0xc3, 0x28]), Buffer.from('"]}')]),
    ];
    for (const body of garbage) await publish('g', body);
    await ann.say('g', 'still here');
    await until('both hear what comes after', () => [ann, bob].every(({ chats }) => chats.includes('still here')));
    // The last piece of garbage is JSON but for two bytes that are no UTF-8: they are replaced.
    for (const { chats, socket } of [ann, bob]) {
      expect(chats).toEqual(['\ufffd(', 'still here']);
      expect(socket.connected).toBe(true);
    }
  });

  it('let the worker announce something, asked by an internal message', async () => {
    const worker = runNode(['dist/apps/worker/src/main.js'], { ...environment, INSTANCE_ID: 'worker-1' });
    await until('the worker is at work', () => worker.output().includes('is at work'));
    const ann = await client(0).join('news');
    const announce = runNode(['scripts/announce.mjs', 'news,other', 'Back at noon'], environment);
    expect(await announce.end()).toBe(0);
    await until('it is heard', () => ann.heard.length > 0);
    expect(ann.heard[0]).toMatchObject({
      event: 'announcement',
      data: { text: 'Back at noon' },
      meta: { from: 'worker' },
    });
    expect(await worker.end('SIGTERM')).toBe(0);
    const nobody = runNode(['scripts/announce.mjs', 'news', 'x'], environment);
    expect(await nobody.end()).toBe(1);
    expect(nobody.output()).toContain('NO_LISTENER: no instance handles "room.announce"');
  });

  it('come back by themselves when the broker is killed and started again under load', async () => {
    const broker = await start();
    const own = { ...environment, [variable]: broker.url };
    const pair = await Promise.all(['gw-a', 'gw-b'].map((INSTANCE_ID) => runGateway({ ...own, INSTANCE_ID })));
    const [ann, bob] = pair.map(({ url }) => new Client(url)) as [Client, Client];
    clients.push(ann, bob);
    await Promise.all([ann.join('load'), bob.join('load')]);
    const answers: Promise<Answer>[] = [];
    const load = setInterval(() => answers.push(ann.say('load', answers.length)), 10);
    await until('messages flow', () => bob.chats.length > 20);

    await broker.kill();
    await until('both know', async () =>
      (await Promise.all(pair.map((each) => each.ready()))).every(({ body }) => body.broker.state === 'down'),
    );
    // Rooms still work inside an instance, so it stays in rotation.
    expect((await pair[0]!.ready()).status).toBe(200);
    const refused = await ann.say('load', -1);
    expect(refused).toMatchObject({
      ok: false,
      error: { code: 'UNAVAILABLE', retryAfter: expect.any(Number) as number },
    });

    await broker.start();
    const restarted = Date.now();
    const before = bob.chats.length;
    await until('messages flow again', () => bob.chats.length > before + 20, 30_000);
    expect(Date.now() - restarted).toBeLessThan(10_000);
    clearInterval(load);
    // Every one of them was answered, and what was refused says why.
    const codes = (await Promise.all(answers)).map(({ ok, error }) => (ok ? 'ok' : error!.code));
    expect(new Set(codes)).toEqual(new Set(['ok', 'UNAVAILABLE']));
    for (const { heard } of [ann, bob]) {
      const gaps = heard.filter(({ event }) => event === 'room:gap');
      expect(gaps.map(({ data }) => data)).toEqual([{ room: 'load', reason: expect.any(String) as string }]);
    }
    const heard = bob.chats as number[];
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b));
    expect(await Promise.all(pair.map((each) => each.end('SIGTERM')))).toEqual([0, 0]);
    await broker.stop();
  }, 90_000);

  it('start while the broker is down, say so once, and are ready when it is there', async () => {
    const broker = await start();
    await broker.kill();
    const gateway = await runGateway({ ...environment, [variable]: broker.url });
    expect((await gateway.ready()).status).toBe(503);
    expect((await fetch(`${gateway.url}/health/live`)).status).toBe(200);
    await broker.start();
    await until('it is ready', async () => (await gateway.ready()).status === 200, 30_000);
    expect(gateway.output().match(/LINK_LOST/g)).toHaveLength(1);
    expect(await gateway.end('SIGTERM')).toBe(0);
    await broker.stop();
  }, 60_000);

  it('end cleanly on SIGTERM, with clients told to come back', async () => {
    const gateway = await runGateway({ ...environment, INSTANCE_ID: 'gw-3' });
    const ann = new Client(gateway.url, 'ann', { reconnection: false });
    await ann.join('x');
    const began = Date.now();
    expect(await gateway.end('SIGTERM')).toBe(0);
    expect(Date.now() - began).toBeLessThan(5_000);
    await until('the client is closed', () => !ann.socket.connected);
    expect(ann.heard).toEqual([
      { event: 'server:drain', data: { retryAfter: expect.any(Number) as number }, meta: undefined },
    ]);
  });

  it('end cleanly on SIGTERM while the broker is away', async () => {
    const broker = await start();
    const gateway = await runGateway({ ...environment, [variable]: broker.url });
    await broker.kill();
    await until('it knows', async () => (await gateway.ready()).body.broker.state === 'down');
    expect(await gateway.end('SIGTERM')).toBe(0);
    await broker.stop();
  }, 60_000);
});

/** Publishes as a service that knows nothing of Roomcast but the names. */
async function foreign(transport: string, url: string, prefix: string) {
  if (transport === 'redis') {
    return async (room: string, body: string | Buffer) => {
      const redis = new Redis(url);
      await redis.publish(`${prefix}live_room:${room}`, body);
      redis.disconnect();
    };
  }
  return async (room: string, body: string | Buffer) => {
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    channel.publish(`${prefix}live_rooms`, `room.${room}`, Buffer.from(body));
    await channel.waitForConfirms();
    await connection.close();
  };
}
