/*
 * The fast path against Socket.IO itself: the same script on a stock server and on ours, and what the clients receive is
 * the same, byte for byte where they speak websocket.
 */
import { until } from '@app/broadcast/testing';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, type ServerOptions, type Socket as ServerSocket } from 'socket.io';
import * as msgpack from 'socket.io-msgpack-parser';
import { transports } from '../transports.js';
import { acquainted, join, stall, Stage, type Instance, type Visitor } from './stage.js';
import type { Wire } from './wire.js';

/** What is done to the socket of a client that is in room r, by its own server. */
type Script = (server: Server, socket: ServerSocket) => unknown;

const bytes = Buffer.from([0, 1, 255]);
const long = 'ü'.repeat(40_000);

/** All in one turn, but where they wait. */
const SCRIPTS: [name: string, script: Script][] = [
  [
    'broadcasts of every size',
    (server) => {
      for (const text of ['', 'ü', 'x'.repeat(100), 'x'.repeat(125), 'y'.repeat(300), long]) {
        server.to('r').emit('text', text, { text });
      }
    },
  ],
  [
    'broadcasts and packets to the socket alone, in turns',
    (server, socket) => {
      for (let i = 0; i < 20; i++) {
        server.to('r').emit('all', i);
        socket.emit('one', i);
        server.emit('everybody', i);
      }
    },
  ],
  [
    'bytes',
    (server, socket) => {
      server.to('r').emit('before');
      server.to('r').emit('bytes', bytes, { deep: [bytes, new Uint8Array(70_000)] });
      server.to('r').emit('bytes', new Uint16Array([1, 500]), new Float64Array(9).subarray(2), new ArrayBuffer(3));
      socket.emit('bytes', bytes);
      server.emit('after', bytes);
    },
  ],
  [
    'questions',
    (server, socket) => {
      server.to('r').emit('before');
      socket.emit('question', 1, () => undefined);
      server
        .to('r')
        .timeout(50)
        .emit('question', 2, () => undefined);
      server.to('r').emit('after');
    },
  ],
  [
    'several rooms, of which one is left out',
    async (server, socket) => {
      await socket.join(['s', 't']);
      server.to(['r', 's', 'nobody']).emit('once');
      server.to('r').except('s').emit('never');
      await socket.leave('s');
      server.to('s').emit('never');
      server.to(['s', 't']).except('nobody').emit('once more');
    },
  ],
  [
    'joins and leaves in between',
    (server, socket) => {
      server.to('r').emit('in');
      void socket.leave('r');
      server.to('r').emit('out');
      void socket.join('r');
      server.to('r').emit('in again');
    },
  ],
  [
    'listeners of what goes out',
    (server, socket) => {
      socket.onAnyOutgoing((event, ...args: unknown[]) => {
        if (event !== 'seen') socket.emit('seen', event, args);
      });
      server.to('r').emit('a', 1);
      socket.emit('b', 2);
      server.to('r').emit('c', bytes);
    },
  ],
  [
    'what is queued already',
    (server, socket) => {
      for (let i = 0; i < 50; i++) socket.emit('queued', i, long);
      server.to('r').emit('behind');
      socket.emit('last');
    },
  ],
];

/** A stock server and its client, closed after the case. */
async function stock(stage: Stage, options: Partial<ServerOptions> = {}) {
  const http = createServer();
  const server = new Server(http, options);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  stage.after(() => server.close());
  return { server, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` };
}

async function seat(stage: Stage, { server, url }: { server: Server; url: string }) {
  const line = await stage.wire(url);
  const [socket] = server.of('/').sockets.values();
  await socket!.join('r');
  return { line, socket: socket! };
}

/** Everything that is written between two marks. */
async function written(line: Wire, server: Server, act: () => unknown): Promise<Buffer> {
  server.to('r').emit('begin');
  await until('it has begun', () => line.bytes().includes('["begin"]'));
  await act();
  server.emit('end');
  await until('it has ended', () => line.bytes().includes('["end"]'));
  return line.between('begin', 'end');
}

/** What holds on the fast path alone: the ordinary way lets what waits go with the server. */
const FAST = { adapter: { fast: true } };

describe.each(transports)('the fast path over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  it.each(SCRIPTS)('writes what Socket.IO writes: %s', async (_script, act) => {
    const theirs = await stock(stage);
    const ours = await stage.instance();
    const [one, two] = [await seat(stage, theirs), await seat(stage, ours)];
    const expected = await written(one.line, theirs.server, () => act(theirs.server, one.socket));
    const found = await written(two.line, ours.server, () => act(ours.server, two.socket));
    expect(found.toString('latin1')).toBe(expected.toString('latin1'));
  });

  it('writes what Socket.IO writes when it comes from another instance', async () => {
    const script = (server: Server) => {
      for (let i = 0; i < 50; i++) {
        server.to('r').emit('text', i, long.slice(0, i * 5));
        server.to(['r', 'nobody']).except('nobody').emit('bytes', i, bytes, { deep: bytes });
      }
    };
    const theirs = await stock(stage);
    const [here, there] = [await stage.instance(), await stage.instance()];
    await acquainted([here, there]);
    const [one, two] = [await seat(stage, theirs), await seat(stage, here)];
    const expected = await written(one.line, theirs.server, () => script(theirs.server));
    const found = await written(two.line, there.server, () => script(there.server));
    expect(found.toString('latin1')).toBe(expected.toString('latin1'));
  });

  it('shares writes among the frames of one turn, and none while they are switched off', async () => {
    const [on, off] = [
      await stage.instance({ adapter: { fast: true } }),
      await stage.instance({ adapter: { fast: false } }),
    ];
    for (const { server } of [on, off]) {
      const { line } = await seat(stage, { server, url: server === on.server ? on.url : off.url });
      server.local.emit('begin');
      await until('it has begun', () => line.bytes().includes('["begin"]'));
      for (let i = 0; i < 100; i++) server.local.to('r').emit('n', i);
      server.local.emit('end');
      await until('it has ended', () => line.bytes().includes('["end"]'));
    }
    expect(on.adapter.deliveries).toMatchObject({ delivered: 102, writes: 2, coalesced: 101 });
    expect(off.adapter.deliveries).toMatchObject({ writes: 0, coalesced: 0 });
  });

  it('gathers for as long as it is told to', async () => {
    const { server, url, adapter } = await stage.instance({ adapter: { fast: true, coalesce: 150 } });
    const { line } = await seat(stage, { server, url });
    for (let i = 0; i < 5; i++) {
      server.local.to('r').emit('n', i);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until('all are there', () => line.bytes().includes('["n",4]'));
    expect(adapter.deliveries).toMatchObject({ delivered: 5, writes: 1 });
  });

  describe('falls back', () => {
    const expected = (events: string[]) =>
      events.flatMap((event) => [
        [event, 'ü'],
        [`${event} bytes`, bytes],
      ]);
    const say = (server: Server, event: string) => {
      server.to('r').emit(event, 'ü');
      server.to('r').emit(`${event} bytes`, bytes);
    };

    it.each([
      ['polls', {}, { transports: ['polling'] }],
      ['compresses', { perMessageDeflate: { threshold: 1 } }, { transports: ['websocket'] }],
      ['has a parser of its own', { parser: msgpack }, { transports: ['websocket'], parser: msgpack }],
    ])('for a client that %s', async (_what, server: Partial<ServerOptions>, client) => {
      const [here, there] = [await stage.instance({ server }), await stage.instance({ server })];
      await acquainted([here, there]);
      const visitor = await stage.visit(here, '/', client);
      await join([visitor], 'r');
      say(here.server, 'here');
      await until('both are there', () => visitor.heard.length === 2);
      say(there.server, 'there');
      visitor.socket.emit('alone');
      await until('all are there', () => visitor.heard.length === 5);
      expect(visitor.heard.filter(([event]) => event !== 'alone')).toEqual(expected(['here', 'there']));
      expect(here.adapter.deliveries).toMatchObject({ coalesced: 0 });
    });

    it('while a client changes from polling to a websocket: nothing is lost, nothing comes twice or out of order', async () => {
      const [here, there] = [await stage.instance(), await stage.instance()];
      await acquainted([here, there]);
      const visitor = await stage.visit(here, '/', { transports: ['polling', 'websocket'] });
      await join([visitor], 'r');
      const { conn } = visitor.socket;
      let n = 0;
      let after = 0;
      const timer = setInterval(() => {
        for (const { server } of [here, there]) server.to('r').emit('n', n, bytes);
        n++;
        if (conn.transport.name === 'websocket') after++;
      }, 1);
      stage.after(() => clearInterval(timer));
      await until('the client has been on its websocket for a while', () => after > 20);
      clearInterval(timer);
      const total = n;
      await until('all are there', () => visitor.heard.length === 2 * total);
      const numbers = visitor.heard.map(([, i]) => i as number);
      // Each comes twice, from here at once and from there in its time: both in their order.
      for (const seen of [firstOf(numbers), secondOf(numbers)]) {
        expect(seen).toEqual(Array.from({ length: total }, (_, i) => i));
      }
    });

    it('for what is volatile and would have to wait, on the instance and on others', async () => {
      const [here, there] = [await stage.instance(FAST), await stage.instance(FAST)];
      await acquainted([here, there]);
      const visitor = await stage.visit(here, '/', { transports: ['websocket'] });
      await join([visitor], 'r');
      const free = stall(visitor.socket);
      here.server.to('r').emit('kept');
      here.server.to('r').volatile.emit('volatile');
      there.server.to('r').volatile.emit('volatile');
      there.server.to('r').emit('kept');
      await until('both are there', () => here.bus.counts.received >= 2);
      await new Promise((resolve) => setImmediate(resolve));
      free();
      there.server.to('r').emit('last');
      here.server.to('r').volatile.emit('after all');
      await until('the last is there', () => visitor.heard.some(([event]) => event === 'last'));
      expect(visitor.heard.map(([event]) => event)).not.toContain('volatile');
      expect(visitor.heard.filter(([event]) => event === 'kept')).toHaveLength(2);
    });

    it('for whoever looks at the packets of a connection', async () => {
      const [here, there] = [await stage.instance(), await stage.instance()];
      await acquainted([here, there]);
      const visitor = await stage.visit(here, '/', { transports: ['websocket'] });
      await join([visitor], 'r');
      const seen: unknown[] = [];
      visitor.socket.conn.on('packetCreate', ({ data }) => seen.push(data));
      say(here.server, 'here');
      say(there.server, 'there');
      await until('all are there', () => visitor.heard.length === 4);
      expect(seen.filter((data) => typeof data === 'string')).toHaveLength(4);
    });
  });

  describe('writes what waits before the end', () => {
    const ends: [string, (visitor: Visitor, instance: Instance) => unknown][] = [
      ['the connection is closed', ({ socket }) => socket.conn.close()],
      ['the socket is disconnected', ({ socket }) => socket.disconnect()],
      ['the client is disconnected', ({ socket }) => socket.disconnect(true)],
      ['all are disconnected', (_visitor, { server }) => server.local.disconnectSockets(true)],
      ['the server is closed', (_visitor, { server }) => server.close()],
    ];

    it.each(ends)('when %s', async (_how, end) => {
      const instance = await stage.instance(FAST);
      const visitor = await stage.visit(instance, '/', { transports: ['websocket'] });
      await join([visitor], 'r');
      for (let i = 0; i < 3; i++) instance.server.to('r').emit('n', i);
      await end(visitor, instance);
      await until('the client is gone', () => !visitor.client.connected);
      expect(visitor.heard).toEqual([0, 1, 2].map((i) => ['n', i]));
    });
  });
});

function firstOf(numbers: readonly number[]): number[] {
  return numbers.filter((n, index) => numbers.indexOf(n) === index);
}

function secondOf(numbers: readonly number[]): number[] {
  return numbers.filter((n, index) => numbers.indexOf(n) !== index);
}
