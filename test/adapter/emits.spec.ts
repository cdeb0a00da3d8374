/*
 * Plain Socket.IO servers on one bus: what `io` does on one instance reaches the sockets of the others. Three servers
 * in this process, real clients, over each transport.
 */
import { BroadcastAdapter, Bus, createAdapter, Rooms, type Transport } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, type Socket as ServerSocket } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { transports } from '../transports.js';

interface Instance {
  bus: Bus;
  server: Server;
  http: HttpServer;
  adapter: BroadcastAdapter;
  /** The socket of the one client that is connected to this instance. */
  socket: ServerSocket;
  client: Socket;
  heard: unknown[][];
}

describe.each(transports)('three Socket.IO servers over %s', (_name, prepare) => {
  let instances: [Instance, Instance, Instance];

  beforeEach(async () => {
    const transport = prepare(`s${randomBytes(4).toString('hex')}.`);
    instances = (await Promise.all(['a', 'b', 'c'].map((id) => openInstance(transport(), id)))) as typeof instances;
    await until('all know each other', async () => {
      const counts = await Promise.all(instances.map(({ adapter }) => adapter.serverCount()));
      return counts.every((count) => count === 3);
    });
  });

  afterEach(async () => {
    for (const { client } of instances) client.disconnect();
    await Promise.all(instances.map(({ server }) => server.close()));
    await Promise.all(instances.map(({ bus }) => bus.close()));
  });

  /**
   * Emits a last message to everyone, from each instance, since only what one says keeps its order, and waits for all
   * of them: whatever was to arrive before has arrived.
   */
  async function settle(): Promise<void> {
    const isLast = ([event]: unknown[]) => event === 'settled';
    for (const { server } of instances) server.emit('settled');
    await until('the last messages arrive', () => instances.every(({ heard }) => heard.filter(isLast).length === 3));
    for (const { heard } of instances) heard.splice(0, heard.length, ...heard.filter((each) => !isLast(each)));
  }

  function heard(): unknown[][][] {
    return instances.map((instance) => instance.heard);
  }

  it('emit to everyone, to a room, to several rooms once per socket, and except some', async () => {
    const [a, b, c] = instances;
    await Promise.all([a.socket.join('r1'), b.socket.join(['r1', 'r2']), c.socket.join('r2')]);
    a.server.emit('all', 1);
    await settle();
    expect(heard()).toEqual([[['all', 1]], [['all', 1]], [['all', 1]]]);
    heard().forEach((list) => list.splice(0));

    b.server.to('r1').emit('one', { x: 1 }, 'two');
    a.server.to('r1').to('r2').emit('both');
    c.server.to('r1').except('r2').emit('except');
    await settle();
    const one = ['one', { x: 1 }, 'two'];
    expect(heard().map((list) => list.map((each) => JSON.stringify(each)).sort())).toEqual(
      [[one, ['both'], ['except']], [one, ['both']], [['both']]].map((list) =>
        list.map((each) => JSON.stringify(each)).sort(),
      ),
    );
  });

  it('emit to one socket by its id, wherever it is, and not to the sender of a broadcast', async () => {
    const [a, b, c] = instances;
    a.server.to(c.socket.id).emit('private');
    b.socket.broadcast.emit('not to b');
    a.server.except(c.socket.id).emit('not to c');
    await settle();
    const sorted = heard().map((list) => list.flat().sort());
    expect(sorted).toEqual([['not to b', 'not to c'], ['not to c'], ['not to b', 'private']]);
  });

  it('keep namespaces apart, though their rooms have the same name', async () => {
    const [a, b] = instances;
    const others = instances.map(({ client }) => client.io.socket('/other', {}));
    const inOther: unknown[] = [];
    for (const { server } of instances) server.of('/other').on('connection', (socket) => void socket.join('r'));
    others.forEach((socket) => socket.onAny((...args) => inOther.push(args)));
    await until(
      'all are in',
      async () =>
        (await a.server.of('/other').adapter.serverCount()) === 3 && others.every(({ connected }) => connected),
    );
    for (const { socket } of instances) await socket.join('r');
    await until('the room is heard', () => instances.every(({ adapter }) => adapter.isHeard('r')));
    a.server.of('/other').to('r').emit('other', 1);
    b.server.to('r').emit('main', 2);
    await settle();
    await until('the other namespace hears', () => inOther.length === 3);
    expect(inOther).toEqual([
      ['other', 1],
      ['other', 1],
      ['other', 1],
    ]);
    expect(heard()).toEqual([[['main', 2]], [['main', 2]], [['main', 2]]]);
    // The one namespace leaves the room; the other is still in it.
    for (const { server } of instances) server.of('/other').local.socketsLeave('r');
    b.server.to('r').emit('main', 3);
    await settle();
    expect(heard().map((list) => list.at(-1))).toEqual([1, 2, 3].map(() => ['main', 3]));
  });

  it('carry bytes as Buffers', async () => {
    const [a] = instances;
    a.server.emit('bytes', Buffer.from([1, 2]), { deep: [Buffer.from('x')] }, new Uint8Array([3]));
    await settle();
    const expected = ['bytes', Buffer.from([1, 2]), { deep: [Buffer.from('x')] }, Buffer.from([3])];
    expect(heard()).toEqual([[expected], [expected], [expected]]);
  });

  it('mean it when a join is awaited: an emit on another instance reaches the socket, 200 times of 200', async () => {
    const [a, b] = instances;
    for (let i = 0; i < 200; i++) {
      await a.socket.join(`join-${i}`);
      b.server.to(`join-${i}`).emit('joined', i);
    }
    await until('all arrive', () => a.heard.length === 200);
    expect(a.heard.map(([, i]) => i)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  it('serve local sockets in the same turn, and never the others with volatile-local mixed up', async () => {
    const [a] = instances;
    const written: string[] = [];
    const write = a.socket.conn.write.bind(a.socket.conn);
    a.socket.conn.write = ((data: string, ...rest: []) => {
      written.push(data);
      return write(data, ...rest);
    }) as typeof a.socket.conn.write;
    a.server.emit('now');
    expect(written).toEqual(['2["now"]']);
    a.server.local.emit('here only');
    await settle();
    expect(heard()).toEqual([[['now'], ['here only']], [['now']], [['now']]]);
  });

  it('ask each other: acknowledgements, sockets, joins, leaves, disconnects, server-side events', async () => {
    const [a, b, c] = instances;
    for (const { client, bus } of instances)
      client.on('ask', (answer: (value: unknown) => void) => answer(bus.instance));
    const answers = (await a.server.timeout(1_000).emitWithAck('ask')) as string[];
    expect(answers.sort()).toEqual(instances.map(({ bus }) => bus.instance).sort());

    const sockets = await a.server.fetchSockets();
    expect(sockets.map(({ id }) => id).sort()).toEqual(instances.map(({ socket }) => socket.id).sort());

    a.server.in(b.socket.id).socketsJoin('made');
    await until('b has joined', () => b.socket.rooms.has('made'));
    await settle();
    expect([a, c].map(({ socket }) => socket.rooms.has('made'))).toEqual([false, false]);
    a.server.in('made').socketsLeave('made');
    await until('b has left', () => !b.socket.rooms.has('made'));
    a.server.in(c.socket.id).disconnectSockets();
    await until('c is gone', () => !c.client.connected);

    for (const { server, bus } of [b, c])
      server.on('question', (answer: (value: string) => void) => answer(bus.instance));
    const replies = (await a.server.serverSideEmitWithAck('question')) as string[];
    expect(replies.sort()).toEqual([b.bus.instance, c.bus.instance].sort());
    expect([a, b].map(({ socket }) => socket.connected)).toEqual([true, true]);
  });

  it('let listeners of outgoing packets see the values, without changing what is sent', async () => {
    const [a, b] = instances;
    const seen: unknown[][] = [];
    b.socket.onAnyOutgoing((...args: unknown[]) => seen.push(args));
    a.server.emit('seen', { x: Buffer.from('y') });
    await new Rooms(a.bus).publish({ room: 'q', event: 'unheard' });
    await settle();
    expect(seen.filter(([event]) => event !== 'settled')).toEqual([['seen', { x: Buffer.from('y') }]]);
    expect(b.heard).toEqual([['seen', { x: Buffer.from('y') }]]);
  });

  it('hear Rooms speak from a process without sockets: with meta, to several rooms once, in a namespace', async () => {
    const [a, b] = instances;
    await Promise.all([a.socket.join('r1'), b.socket.join(['r1', 'r2'])]);
    const speaker = new Rooms(a.bus);
    const { id } = await speaker.to('r1').to('r2').from('cron').emit('news', { n: 1 });
    const many = Array.from({ length: 20 }, (_, i) => `r${i}`);
    await speaker.to(many).emit('many');
    for (const room of ['r1', 'r2']) await speaker.publish({ room, event: 'news', data: 'again', id });
    await settle();
    const meta = { room: 'r1', id, at: expect.any(Number) as number, from: 'cron' };
    for (const { heard } of [a, b]) {
      expect(heard[0]).toEqual(['news', { n: 1 }, meta]);
      expect(heard.slice(1)).toEqual([['many', null, expect.objectContaining({ room: 'r1' })]]);
    }
    expect(instances[2].heard).toEqual([]);

    heard().forEach((list) => list.splice(0));
    await b.socket.join('r3');
    await speaker.publish({ room: 'r3', event: 'the same id in another room', id });
    await speaker.to('r1').except('r2').emit('not in r2');
    await settle();
    expect(heard().map((list) => list.map(([event]) => event))).toEqual([
      ['not in r2'],
      ['the same id in another room'],
      [],
    ]);
  });

  it('hear Rooms speak in a namespace, where an id is not that of the main one', async () => {
    const [a, b] = instances;
    const other = b.client.io.socket('/other', {});
    const inOther: unknown[] = [];
    other.onAny((...args) => inOther.push(args));
    const joined = new Promise<void>((resolve) => {
      b.server.of('/other').on('connection', (socket) => void Promise.resolve(socket.join('r')).then(resolve));
    });
    await Promise.all([joined, b.socket.join('r')]);
    const speaker = new Rooms(a.bus);
    const { id } = await speaker.to('r').of('/other').emit('there');
    await speaker.publish({ room: 'r', event: 'here', id });
    await settle();
    await until('the other namespace hears', () => inOther.length > 0);
    expect(inOther).toEqual([['there', null, expect.objectContaining({ id, room: 'r' })]]);
    expect(b.heard).toEqual([['here', null, expect.objectContaining({ id, room: 'r' })]]);
  });

  it('drop control messages that make no sense, and nobody is disconnected', async () => {
    const [a, b] = instances;
    const request = { opts: { rooms: [], except: [], flags: {} }, requestId: 'q' };
    const nonsense: unknown[] = [
      null,
      {},
      { nsp: '/', type: 7, data: request },
      { nsp: '/', type: 7, uid: 5, data: request },
      { nsp: '/', type: 7, uid: 'zz' },
      { nsp: '/', type: 3, uid: 'zz', data: { ...request, packet: { type: 2, data: ['connect'] } } },
      { nsp: '/', type: 3, uid: 'zz', data: { ...request, packet: { type: 99, data: ['x'] } } },
      { nsp: '/', type: 'x', uid: 'zz' },
    ];
    for (const message of nonsense) await a.bus.control.send('all', { kind: 'cluster', origin: 'zz' }, [message]);
    for (const kind of ['count', 'counted', 'emit']) await a.bus.control.send('all', { kind, origin: 'zz' }, []);
    await settle();
    expect(heard()).toEqual([[], [], []]);
    expect(b.bus.counts.unreadable).toBe(8);
  });

  it('survive what cannot be sent to another: a deep handshake, deep acknowledgements, data with a cycle', async () => {
    const [a, b] = instances;
    const cycle: unknown[] = [];
    cycle.push(cycle);
    b.socket.data = { cycle };
    await expect(a.server.timeout(300).fetchSockets()).rejects.toThrow('timeout');
    b.socket.data = {};
    b.client.on('deep', () => b.client.io.engine.write(`30${'['.repeat(9_000)}${']'.repeat(9_000)}`));
    await a.server
      .timeout(300)
      .emitWithAck('deep')
      .catch(() => undefined);
    await settle();
    expect(b.bus.counts.dropped).toBeGreaterThan(0);
  });

  it('deliver a message to several rooms to a socket whose join to an earlier one is still on its way', async () => {
    const [a, b] = instances;
    await b.socket.join('second');
    const joining = b.socket.join('first');
    const said = new Rooms(a.bus).to(['first', 'second']).emit('both');
    await Promise.all([joining, said]);
    await settle();
    expect(b.heard.map(([event]) => event)).toEqual(['both']);
  });

  it('keep a room for its other members when a member by number leaves it', async () => {
    const [a, b, c] = instances;
    // Both on one instance: only there can the one take the room away from the other.
    const connected = new Promise<ServerSocket>((resolve) => b.server.once('connection', resolve));
    const second = io(`http://127.0.0.1:${(b.http.address() as AddressInfo).port}`, { forceNew: true });
    const heardBySecond: string[] = [];
    second.onAny((event: string) => heardBySecond.push(event));
    const secondSocket = await connected;
    await Promise.all([a.socket.join(123 as never), b.socket.join('123'), secondSocket.join(123 as never)]);
    c.server.to('123').emit('one');
    await settle();
    await Promise.all([a.socket.leave(123 as never), secondSocket.leave(123 as never)]);
    expect([a, b].map(({ adapter }) => adapter.isHeard('123'))).toEqual([false, true]);
    c.server.to('123').emit('two');
    await settle();
    await until('the second has heard all', () => heardBySecond.filter((event) => event === 'settled').length === 6);
    second.disconnect();
    expect(heard()).toEqual([[['one']], [['one'], ['two']], []]);
    expect(heardBySecond.filter((event) => event !== 'settled')).toEqual(['one']);
  });

  it('let go of the bus when the last namespace is closed', async () => {
    const [a, b] = instances;
    const before = a.bus.listenerCount('state');
    await a.server.close();
    expect(a.bus.listenerCount('state')).toBe(before - 1);
    const { ignored } = a.bus.counts;
    b.server.emit('of no use to a');
    await until('nobody takes it there', () => a.bus.counts.ignored > ignored);
  });

  it('count the sockets of a room on all of them', async () => {
    const [a, b, c] = instances;
    await Promise.all([a.socket.join('n'), b.socket.join('n')]);
    expect(
      await Promise.all([c.adapter.countSockets('n'), a.adapter.countSockets('n'), c.adapter.countSockets('none')]),
    ).toEqual([2, 2, 0]);
    await b.server.close();
    await until('b is forgotten', async () => (await c.adapter.countSockets('n')) === 1);
    expect(b.bus.wanted).toBe(2); // the control channels: no room is held any more
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await c.adapter.serverCount()).toBe(2);
  });
});

async function openInstance(transport: Transport, id: string): Promise<Instance> {
  const bus = new Bus(transport, { instance: `${id}-${randomBytes(3).toString('hex')}` });
  bus.on('error', () => undefined);
  await bus.connect(15_000);
  const http = createServer();
  const server = new Server(http, { adapter: createAdapter(bus) as never });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const connected = new Promise<ServerSocket>((resolve) => server.once('connection', resolve));
  const client = io(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, {
    forceNew: true,
    reconnection: false,
  });
  const heard: unknown[][] = [];
  client.onAny((...args: unknown[]) => {
    if (typeof args.at(-1) !== 'function') heard.push(args);
  });
  const socket = await connected;
  await until('the client is connected', () => client.connected);
  return { bus, server, http, client, socket, heard, adapter: server.of('/').adapter as BroadcastAdapter };
}
