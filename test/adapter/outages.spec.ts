/*
 * What a Socket.IO server does while its broker cannot be reached, and afterwards: its own sockets notice nothing, what
 * is for others waits a little and is then dropped and told, every question ends, and nothing comes late or twice.
 */
import {
  Bus,
  createAdapter,
  rabbitmq,
  redis,
  Rooms,
  type AdapterOptions,
  type BroadcastAdapter,
  type Channel,
  type Transport,
} from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import type { RedisOptions } from 'ioredis';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import type { BrokerProcess } from '../brokers/broker-process.js';
import { openGate, type Gate } from '../brokers/gate.js';
import { startRabbitmq } from '../brokers/rabbitmq.js';
import { startRedis } from '../brokers/redis.js';
import { networks } from '../transports.js';
import {
  acquainted,
  done,
  eventsOf,
  settle,
  Stage,
  type Instance,
  type InstanceOptions,
  type Visitor,
} from './stage.js';

/** No question ends in time because its time is up, and nobody is forgotten. */
const UNHURRIED: AdapterOptions = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000, requestsTimeout: 60_000 };
const MINUTE = 60_000;
const OUTAGES = ['refuse', 'blackhole'] as const;
const urls: Record<string, string> = {
  redis: process.env['TEST_REDIS_URL']!,
  rabbitmq: process.env['TEST_RABBITMQ_URL']!,
};

type Odd = [options: string, transport: (url: string, prefix: string) => Transport];

/** Options that broker libraries take, and that would have them repair, keep or give up things by themselves. */
const odd: Record<string, Odd[]> = {
  redis: [
    ...Object.entries<RedisOptions>({
      'a queue of its own': {
        enableOfflineQueue: true,
        maxRetriesPerRequest: null,
        autoResendUnfulfilledCommands: true,
      },
      'reconnecting by itself': { retryStrategy: () => 10, reconnectOnError: () => true, autoResubscribe: true },
      'short deadlines': { commandTimeout: 100, connectTimeout: 100 },
      'no look whether it is ready': { enableReadyCheck: false, lazyConnect: false },
    }).map(([name, connection]): Odd => [name, (url, prefix) => redis({ url, prefix, connection })]),
    ...['?enableOfflineQueue=true&maxRetriesPerRequest=20', '?autoResubscribe=true&retryStrategy=1'].map(
      (query): Odd => [query, (url, prefix) => redis({ url: `${url}${query}`, prefix })],
    ),
  ],
  rabbitmq: [
    ['heartbeat: 1', (url, prefix) => rabbitmq({ url, prefix, heartbeat: 1 })],
    ['prefetch: 1, maxBindings: 1', (url, prefix) => rabbitmq({ url, prefix, prefetch: 1, maxBindings: 1 })],
    ...['?heartbeat=0&channelMax=16', '?frameMax=8192&locale=de_DE'].map((query): Odd => [
      query,
      (url, prefix) => rabbitmq({ url: `${url}${query}`, prefix }),
    ]),
  ],
};

/** What is written to the visitor's connection, from now on. */
function written({ socket }: Visitor): string[] {
  const packets: string[] = [];
  const write = socket.conn.write.bind(socket.conn);
  socket.conn.write = ((data: string, ...rest: []) => {
    packets.push(data);
    return write(data, ...rest);
  }) as typeof write;
  return packets;
}

/** Does everything that concerns sockets of this instance, and expects it done when the call returns. */
async function servesItsOwn(a: Instance, visitor: Visitor, leaving: Visitor): Promise<void> {
  const [packets, { socket, client }] = [written(visitor), visitor];
  const { id } = socket;
  a.server.emit('to all');
  expect(packets.splice(0)).toEqual(['2["to all"]']);
  const joining = done(socket.join('local'));
  a.server.to('local').emit('to a room');
  a.server.to(id).emit('to one');
  a.server.to(['local', id]).except('none').emit('to both');
  expect(packets.splice(0)).toEqual(['2["to a room"]', '2["to one"]', '2["to both"]']);
  a.server.in(id).socketsJoin('made');
  expect(socket.rooms).toContain('made');
  a.server.in('made').socketsLeave('made');
  expect(socket.rooms).not.toContain('made');
  client.once('ask', (answer: (value: string) => void) => answer('yes'));
  const asking = a.server.to(id).timeout(300).emitWithAck('ask');
  expect(packets.splice(0)).toEqual([expect.stringMatching(/^2\d+\["ask"\]$/)]);
  a.server.in(leaving.socket.id).disconnectSockets(true);
  expect(leaving.socket.connected).toBe(false);
  // The others cannot be asked, but what was answered here is told.
  const answers = await asking.catch((error: Error & { responses: unknown[] }) => error.responses);
  expect(answers).toEqual(['yes']);
  await joining;
}

/** Asks everything that can be asked, and expects what there is on this instance. Ends because nothing can be sent. */
async function answersAlone(a: Instance, { socket }: Visitor): Promise<void> {
  const joining = done(socket.join('alone'));
  const [sockets, count, rooms, stats, servers, acks] = await Promise.all([
    a.server.fetchSockets(),
    a.adapter.countSockets('alone'),
    a.adapter.allRooms(),
    a.adapter.roomStats(),
    a.server.serverSideEmitWithAck('ask').catch((error: { code: string }) => error.code),
    a.server
      .to('nobody')
      .timeout(300)
      .emitWithAck('ask')
      .catch((error: Error) => error.message),
    done(a.server.in('alone').socketsJoin('too')),
  ]);
  expect(sockets.map(({ id }) => id)).toEqual([socket.id]);
  expect(count).toBe(1);
  expect([...rooms]).toEqual(expect.arrayContaining([socket.id, 'alone', 'too']));
  expect(stats.get('alone')).toBe(1);
  expect(['UNAVAILABLE', 'UNCERTAIN']).toContain(servers);
  expect(acks).toBe('operation has timed out');
  await joining;
}

/** Everything that goes through the broker, in both directions. */
async function works(instances: [Instance, Instance], visitors: [Visitor, Visitor], rooms: readonly string[] = []) {
  const [a, b] = instances;
  const [here, there] = visitors;
  await acquainted(instances);
  await settle(instances, visitors);
  await until('the rooms are heard', () => rooms.every((room) => a.adapter.isHeard(room)));
  eventsOf(visitors);
  for (const room of rooms) b.server.to(room).emit(`in ${room}`);
  for (const [from, to] of [
    [a, there],
    [b, here],
  ] as const) {
    from.server.emit('to all');
    from.server.to(to.socket.id).emit('to one');
    await done(from.server.in(to.socket.id).socketsJoin('after'));
    to.client.once('ask', (answer: (value: string) => void) => answer('yes'));
    expect(await from.server.to(to.socket.id).timeout(MINUTE).emitWithAck('ask')).toEqual(['yes']);
    expect((await from.server.fetchSockets()).map(({ id }) => id).sort()).toEqual(
      [here.socket.id, there.socket.id].sort(),
    );
    from.server.to('after').emit('after');
  }
  await settle(instances, visitors);
  // The first two were in the room when each was told to: the one for the first emit, both for the second.
  const [heardHere, heardThere] = eventsOf(visitors);
  const expected = ['after', 'to all', 'to all', 'to one'];
  expect(heardHere).toEqual([...expected, ...rooms.map((room) => `in ${room}`)].sort());
  expect(heardThere).toEqual(['after', ...expected].sort());
  expect(await b.adapter.countSockets('after')).toBe(2);
}

/** A server on a bus that need not be up. */
async function listening(bus: Bus): Promise<Instance> {
  const http = createServer();
  const server = new Server(http, { adapter: createAdapter(bus, UNHURRIED) as never });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return { bus, server, http, url, adapter: server.of('/').adapter as BroadcastAdapter, errors: [], published: [] };
}

describe.each(networks)('a server whose way to %s is cut', (name, prepare, gated) => {
  const stage = new Stage(prepare);

  /** One behind a gate and one with a straight way, with a visitor each. */
  async function behindGate(options: InstanceOptions = {}) {
    const { transport, gate } = await gated(stage.prefix);
    stage.after(() => gate.close());
    const adapter = { ...UNHURRIED, ...options.adapter };
    const a = await stage.instance({ transport, ...options, adapter, bus: { callTimeout: 600, ...options.bus } });
    const b = await stage.instance({ adapter });
    const instances: [Instance, Instance] = [a, b];
    await acquainted(instances);
    const visitors = await stage.visits(instances);
    return { gate, a, b, instances, visitors };
  }

  async function cutOff(a: Instance, gate: Gate, outage: (typeof OUTAGES)[number]): Promise<void> {
    gate[outage]();
    await until('the outage is noticed', () => a.bus.state === 'down');
  }

  describe.each(OUTAGES)('by a gate that is at %s', (outage) => {
    it('serves its own sockets in the same turn, before it knows and after', async () => {
      const { gate, a, visitors } = await behindGate();
      const leaving = [await stage.visit(a), await stage.visit(a)];
      gate[outage]();
      await servesItsOwn(a, visitors[0], leaving[0]!);
      await until('the outage is noticed', () => a.bus.state === 'down');
      visitors[0].heard.splice(0);
      await servesItsOwn(a, visitors[0], leaving[1]!);
      expect(visitors[0].client.connected).toBe(true);
    });

    it('answers what it is asked with what is here, long before the time of the question is up', async () => {
      const { gate, a, visitors } = await behindGate();
      gate[outage]();
      await answersAlone(a, visitors[0]);
      await until('the outage is noticed', () => a.bus.state === 'down');
      await answersAlone(a, visitors[0]);
      expect(a.errors.map(({ code }) => code)).toEqual(expect.arrayContaining(['LINK_LOST', 'TIMEOUT']));
      // Nobody has said goodbye: it still knows the other.
      expect(await a.adapter.serverCount()).toBe(2);
    });

    it('keeps its word about joins: they are not heard meanwhile, do not wait for ever, and are heard later', async () => {
      const { gate, a, instances, visitors } = await behindGate();
      const [{ socket }] = visitors;
      await socket.join('before');
      await cutOff(a, gate, outage);
      await socket.join('during');
      await socket.join(['during', 'too']);
      expect(['before', 'during', 'too'].map((room) => a.adapter.isHeard(room))).toEqual([false, false, false]);
      expect(a.errors.map(({ code }) => code)).toContain('UNAVAILABLE');
      await socket.leave('too');
      gate.pass();
      await a.bus.ready(15_000);
      await works(instances, visitors, ['before', 'during']);
      expect(a.adapter.isHeard('too')).toBe(false);
    });

    it('knows the others afterwards, and they know it, without a heartbeat in between', async () => {
      const { gate, a, b, visitors } = await behindGate();
      await cutOff(a, gate, outage);
      await b.server.close();
      await b.bus.close();
      const c = await stage.instance({ adapter: UNHURRIED });
      gate.pass();
      const now: [Instance, Instance] = [a, c];
      await until('the new one is known', () =>
        a.adapter.servers().some(({ id }) => id === c.adapter.servers()[0]!.id),
      );
      // The goodbye has been missed; the first question finds out.
      await a.server.fetchSockets();
      await works(now, [visitors[0], await stage.visit(c)]);
    });
  });

  it('forgets nobody because of an outage, however long', async () => {
    const adapter = { heartbeatInterval: 100, heartbeatTimeout: 400 };
    const { gate, a, b, visitors, instances } = await behindGate({ adapter });
    const c = await stage.instance({ adapter });
    await acquainted([a, b, c]);
    await cutOff(a, gate, 'refuse');
    await until('the others have forgotten it', async () => (await c.adapter.serverCount()) === 2);
    expect(await a.adapter.serverCount()).toBe(3);
    gate.pass();
    await acquainted([a, b, c]);
    await c.server.close();
    await works(instances, visitors);
  });

  describe('holds plain emits back', () => {
    it('for as long as they may wait, and sends them in order when the way is free', async () => {
      const { gate, a, instances, visitors } = await behindGate({ bus: { outboxAge: 15_000 } });
      const [{ socket }, there] = visitors;
      await there.socket.join('r');
      await cutOff(a, gate, 'refuse');
      for (let i = 0; i < 100; i++) a.server.to('r').emit(`waited ${i}`);
      a.server.emit('to all');
      a.server.to(there.socket.id).emit('to one');
      socket.broadcast.emit('but not to me');
      gate.pass();
      await a.bus.ready(15_000);
      await settle(instances, visitors);
      const last = ['to all', 'to one', 'but not to me'];
      expect(there.heard.map(([event]) => event)).toEqual([
        ...Array.from({ length: 100 }, (_, i) => `waited ${i}`),
        ...last,
      ]);
      expect(a.bus.counts.dropped).toBe(0);
    });

    it('and drops, counts and tells those that waited for too long; they never come later', async () => {
      const { gate, a, instances, visitors } = await behindGate({ bus: { outboxAge: 200 } });
      const [here, there] = visitors;
      await cutOff(a, gate, 'refuse');
      for (let i = 0; i < 10; i++) a.server.emit(`late ${i}`);
      await until('all are dropped', () => a.bus.counts.dropped === 10);
      expect(a.errors.map(({ code }) => code)).toEqual(['LINK_LOST', 'UNAVAILABLE']);
      gate.pass();
      await a.bus.ready(15_000);
      await settle(instances, visitors);
      await until('those here have all', () => here.heard.length === 10);
      expect(there.heard).toEqual([]);
    });

    it('up to a number of them, and drops what is more at once', async () => {
      const { gate, a, instances, visitors } = await behindGate({ bus: { outboxSize: 3, outboxAge: 15_000 } });
      await cutOff(a, gate, 'refuse');
      for (let i = 0; i < 5; i++) a.server.emit(`late ${i}`);
      await until('two are dropped', () => a.bus.counts.dropped === 2);
      expect(a.errors.map(({ code }) => code)).toEqual(['LINK_LOST', 'UNAVAILABLE']);
      gate.pass();
      await a.bus.ready(15_000);
      await settle(instances, visitors);
      expect(eventsOf(visitors)[1]).toEqual(['late 0', 'late 1', 'late 2']);
    });

    it('and says of those that were on their way that nobody knows; they do not come twice', async () => {
      const { gate, a, instances, visitors } = await behindGate();
      gate.blackhole();
      for (let i = 0; i < 10; i++) a.server.emit(`lost ${i}`);
      await until('all are given up', () => a.bus.counts.dropped === 10);
      expect(a.errors.map(({ code }) => code)).toContain('UNCERTAIN');
      gate.pass();
      await a.bus.ready(15_000);
      await settle(instances, visitors);
      expect(eventsOf(visitors)[1]).toEqual([]);
    });
  });

  it('works alone when it is started without a way, and joins the others when there is one', async () => {
    const { transport, gate } = await gated(stage.prefix);
    stage.after(() => gate.close());
    gate.refuse();
    const bus = new Bus(transport, { callTimeout: 500, outboxAge: 200, backoff: { base: 20, max: 200 } });
    bus.on('error', () => undefined);
    await expect(bus.connect(100)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const b = await stage.instance({ adapter: UNHURRIED });
    const a = await listening(bus);
    stage.after(() => a.server.close().then(() => bus.close()));
    const here = await stage.visit(a);
    await here.socket.join('early');
    const packets = written(here);
    a.server.to('early').emit('alone');
    expect(packets).toEqual(['2["alone"]']);
    expect(await a.server.fetchSockets()).toHaveLength(1);
    gate.pass();
    await works([a, b], [here, await stage.visit(b)], ['early']);
  });

  it.each(odd[name]!)('comes back under any options: %s', async (_options, transport) => {
    const url = urls[name]!;
    const gate = await openGate(Number(new URL(url).port));
    stage.after(() => gate.close());
    const { a, instances, visitors } = await behindGate({ transport: transport(gate.url(url), stage.prefix) });
    for (const outage of ['cut', ...OUTAGES] as const) {
      const { outages } = a.bus.counts;
      gate[outage]();
      a.server.emit('meanwhile');
      if (outage !== 'cut') await answersAlone(a, visitors[0]);
      await until('the outage is noticed', () => a.bus.counts.outages > outages);
      gate.pass();
      await a.bus.ready(15_000);
    }
    await works(instances, visitors);
  });
});

describe.each([
  ['redis', startRedis, redis],
  ['rabbitmq', startRabbitmq, rabbitmq],
])('servers on a %s of their own', (_name, start: () => Promise<BrokerProcess>, transport) => {
  let broker: BrokerProcess;
  const stage = new Stage((prefix) => () => transport({ url: broker.url, prefix }));

  beforeAll(async () => {
    broker = await start();
  }, 120_000);
  afterAll(() => broker.stop());

  it.each([
    ['killed', async () => broker.kill(), async () => broker.start()],
    ['stopped in its tracks', async () => broker.freeze(), async () => broker.thaw()],
  ])(
    'go on while it is %s, and together afterwards',
    async (_what, end, begin) => {
      // Longer than it takes to notice that the link is deaf: until then, silence is that of the others.
      const adapter = { ...UNHURRIED, heartbeatInterval: 500, heartbeatTimeout: 2_000 };
      const options = { adapter, bus: { callTimeout: 600 } };
      const instances: [Instance, Instance] = [await stage.instance(options), await stage.instance(options)];
      await acquainted(instances);
      const visitors = await stage.visits(instances);
      const leaving = await stage.visits(instances);
      await end();
      for (const [i, instance] of instances.entries()) await servesItsOwn(instance, visitors[i]!, leaving[i]!);
      await until('the outage is noticed', () => instances.every(({ bus }) => bus.state === 'down'));
      for (const [i, instance] of instances.entries()) await answersAlone(instance, visitors[i]!);
      await visitors[0].socket.join('during');
      expect(instances[0].adapter.isHeard('during')).toBe(false);
      instances[0].server.emit('too late');
      await until('it is dropped', () => instances[0].bus.counts.dropped > 0);
      for (const { heard } of visitors) heard.splice(0);
      await begin();
      await Promise.all(instances.map(({ bus }) => bus.ready(60_000)));
      expect(await Promise.all(instances.map(({ adapter }) => adapter.serverCount()))).toEqual([2, 2]);
      await works(instances, visitors, ['during']);
    },
    120_000,
  );
});

describe('what RabbitMQ delivers again', () => {
  const [, prepare] = networks.find(([name]) => name === 'rabbitmq')!;
  const stage = new Stage(prepare);

  /** Two servers with a visitor in two rooms each, and a listener beside the second that cannot handle anything. */
  async function withFailing(channel: Channel) {
    const instances: [Instance, Instance] = [await stage.instance(), await stage.instance()];
    await acquainted(instances);
    const visitors = await stage.visits(instances);
    for (const { socket } of visitors) await socket.join(['r', 's']);
    let failures = 0;
    const fail = () => {
      if (++failures <= 2) throw new Error('on purpose');
    };
    const { bus } = instances[1];
    if (channel === 'all') bus.control.on('emit', fail);
    else await bus.subscribe(channel, fail).ready();
    const redelivered = () => until('it is delivered a second time', () => failures >= 2);
    return { instances, visitors, redelivered };
  }

  it.each<[string, Channel, (a: Instance) => unknown]>([
    ['a message with meta to a room', 'room:r', ({ bus }) => new Rooms(bus).to('r').emit('once')],
    ['a message with meta to several rooms', 'room:s', ({ bus }) => new Rooms(bus).to(['r', 's']).emit('once')],
    ['a plain emit to several rooms', 'room:s', ({ server }) => server.to(['r', 's']).emit('once')],
    ['a plain emit to many rooms', 'all', ({ server }) => server.to([...'rstuvwxyz']).emit('once')],
    ['a plain emit to a room', 'room:r', ({ server }) => server.to('r').emit('once')],
    ['a plain emit to everyone', 'all', ({ server }) => server.emit('once')],
  ])('reaches each socket once: %s', async (_what, channel, say) => {
    const { instances, visitors, redelivered } = await withFailing(channel);
    say(instances[0]);
    await redelivered();
    await settle(instances, visitors);
    expect(eventsOf(visitors)).toEqual([['once'], ['once']]);
  });
});
