/*
 * What servers ask of each other: acknowledgements, sockets, commands to sockets, server-side events, numbers. Time is
 * no help here: the limits are longer than a case may take, so what ends at once has to.
 */
import { createAdapter, decodeArgs, type Incomplete } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { transports } from '../transports.js';
import {
  done,
  join,
  preceded,
  QUIET,
  settle,
  slow,
  Stage,
  type Instance,
  type InstanceOptions,
  type Visitor,
} from './stage.js';

const WEBSOCKET = { transports: ['websocket'] };
const FOREVER = 60_000;
const PATIENT: InstanceOptions = {
  ...QUIET,
  adapter: { ...QUIET.adapter, requestsTimeout: FOREVER, countTimeout: FOREVER },
};
/** Asked in vain for this long, in ms, where somebody is silent. */
const BRIEF = 400;
/** How long a room that was left is heard where that is to end, in ms. */
const LINGER = 20;

describe.each(transports)('three servers over %s', (_name, prepare) => {
  const stage = new Stage(prepare);
  let instances: Instance[];
  let visitors: Visitor[];
  let a: Instance, b: Instance, c: Instance;
  let ann: Visitor, bob: Visitor, cid: Visitor;

  async function begin(options: InstanceOptions = PATIENT): Promise<void> {
    const three = await stage.three(options);
    instances = [a, b, c] = three;
    visitors = [ann, bob, cid] = await stage.visits(three, '/', WEBSOCKET);
  }

  /** Letters of the visitors whose sockets are in the list. */
  function lettersOf(sockets: Iterable<{ id: string }>): string {
    const letters = [...sockets].map(({ id }) => visitors.findIndex(({ socket }) => socket.id === id) + 97);
    return String.fromCharCode(...letters.sort());
  }

  /** Letters of the visitors who are in the room. */
  function membersOf(room: string): string {
    return lettersOf(visitors.map(({ socket }) => socket).filter(({ rooms }) => rooms.has(room)));
  }

  function answerWith(visitor: Visitor, value: unknown): void {
    visitor.client.on('ask', (...args: unknown[]) => (args.at(-1) as (value: unknown) => void)(value));
  }

  it('are known to a server that has just started before it relies on them', async () => {
    const first = await stage.instance(PATIENT);
    const visitor = await stage.visit(first);
    await join([visitor], 'lobby');
    answerWith(visitor, 'yes');
    const fresh = await stage.instance(PATIENT);
    const asked = fresh.server.timeout(10_000).emitWithAck('ask');
    await done(fresh.server.in('lobby').socketsJoin('x'));
    fresh.server.to('x').emit('arrived');
    await until('it arrives', () => visitor.heard.length > 0);
    expect([await asked, visitor.heard]).toEqual([['yes'], [['arrived']]]);
  });

  it('hear a server-side event though a listener of another server on the same bus throws, and once', async () => {
    await begin();
    const http = createServer();
    const second = new Server(http, { adapter: createAdapter(b.bus) as never });
    stage.after(() => second.close());
    const heard: string[] = [];
    b.server.on('event', () => {
      heard.push('first');
      throw new Error('no');
    });
    second.on('event', () => heard.push('second'));
    c.server.on('event', () => heard.push('elsewhere'));
    a.server.serverSideEmit('event');
    await until('all have heard', () => heard.length >= 3);
    await settle(instances, visitors);
    expect([heard.sort(), b.bus.counts.failed]).toEqual([['elsewhere', 'first', 'second'], 1]);
  });

  describe('ask clients', () => {
    beforeEach(() => begin());

    it('and hear what each of them answers, wherever it is', async () => {
      await Promise.all([join([ann, bob], 'r'), join([cid], 'other')]);
      ['ann', 'bob', 'cid'].forEach((name, index) => answerWith(visitors[index]!, name));
      const ask = async (operator: Pick<typeof a.server, 'timeout'>) =>
        (await operator.timeout(FOREVER).emitWithAck('ask')).sort();
      expect({
        all: await ask(a.server),
        room: await ask(b.server.to('r')),
        rooms: await ask(c.server.to('r').to('other')),
        except: await ask(a.server.except('r')),
        local: await ask(c.server.local),
        others: await ask(ann.socket.broadcast),
      }).toEqual({
        all: ['ann', 'bob', 'cid'],
        room: ['ann', 'bob'],
        rooms: ['ann', 'bob', 'cid'],
        except: ['cid'],
        local: ['cid'],
        others: ['bob', 'cid'],
      });
    });

    it('with bytes, and are answered with bytes', async () => {
      for (const { client } of visitors)
        client.on('ask', (bytes: unknown, deep: { x: unknown }, answer: (value: unknown) => void) =>
          answer([Buffer.isBuffer(bytes), bytes, { y: deep.x }]),
        );
      const answers = await a.server.timeout(FOREVER).emitWithAck('ask', Buffer.from([1]), { x: Buffer.from('x') });
      const expected = [true, Buffer.from([1]), { y: Buffer.from('x') }];
      expect(answers).toEqual([expected, expected, expected]);
    });

    it('who may answer with nothing', async () => {
      for (const visitor of visitors) answerWith(visitor, undefined);
      const answers = (await a.server.timeout(FOREVER).emitWithAck('ask')) as unknown[];
      expect(answers.map((answer) => answer ?? 'nothing')).toEqual(['nothing', 'nothing', 'nothing']);
    });

    it('and have their answer at once when there is nobody to ask', async () => {
      expect(await a.server.to('nobody').timeout(FOREVER).emitWithAck('ask')).toEqual([]);
    });

    it('and have it when one of them answers with what cannot be sent on', async () => {
      const dan = await stage.visit(b, '/', WEBSOCKET);
      answerWith(dan, 'dan');
      bob.client.on('ask', () => {
        const [id] = (bob.socket as unknown as { acks: Map<number, unknown> }).acks.keys();
        bob.client.io.engine.write(`3${id}${'['.repeat(9_000)}${']'.repeat(9_000)}`);
      });
      const answers = (await a.server
        .to([bob.socket.id, dan.socket.id])
        .timeout(FOREVER)
        .emitWithAck('ask')) as unknown[];
      expect(answers.sort()).toEqual(['dan', null]);
      await until('b tells', () => b.errors.map(({ code }) => code).join() === 'BAD_REQUEST');
    });

    it('through one fetched socket, with one answer', async () => {
      bob.client.on('ask', (bytes: Buffer, answer: (value: unknown) => void) => answer({ bytes }));
      const [remote] = await a.server.in(bob.socket.id).fetchSockets();
      expect(await remote!.timeout(FOREVER).emitWithAck('ask', Buffer.from('x'))).toEqual({ bytes: Buffer.from('x') });
    });

    it('and are told by one message from each server, whatever the number of its clients', async () => {
      const crowd = await Promise.all(Array.from({ length: 20 }, () => stage.visit(b, '/', WEBSOCKET)));
      for (const visitor of [...visitors, ...crowd]) answerWith(visitor, 'yes');
      let messages = 0;
      a.bus.control.on('sockets.answer', () => messages++);
      const answers = (await a.server.timeout(FOREVER).emitWithAck('ask')) as unknown[];
      expect({ answers: answers.length, messages }).toEqual({ answers: 23, messages: 2 });
    });

    it('and hear those who answer when others are silent, the late ones too; and then nothing is kept', async () => {
      const [dan, eve] = [await stage.visit(b, '/', WEBSOCKET), await stage.visit(b, '/', WEBSOCKET)];
      [ann, dan].forEach((visitor, index) => answerWith(visitor, ['ann', 'dan'][index]));
      // What has come to b by then is sent shortly before the time is up; eve answers when that is here.
      let late: ((value: unknown) => void) | undefined;
      eve.client.on('ask', (answer: (value: unknown) => void) => (late = answer));
      a.bus.control.on('sockets.answer', (message) => {
        const [, { responses }] = decodeArgs(message) as [unknown, { responses: unknown[] }];
        if (responses.includes('dan')) late?.('eve');
      });
      const asking = a.server
        .except(cid.socket.id)
        .timeout(2 * BRIEF)
        .emitWithAck('ask');
      const error = await asking.then(undefined, (reason: Error & { responses: unknown[] }) => reason);
      expect(error).toMatchObject({ message: 'operation has timed out', responses: ['ann', 'dan', 'eve'] });
      const acksOf = ({ socket }: Visitor) => (socket as unknown as { acks: Map<number, unknown> }).acks.size;
      const kept = () => [
        ...instances.map(({ adapter }) => adapter.ackRequests.size + adapter.requests.size),
        ...[...visitors, dan, eve].map(acksOf),
      ];
      await until('nothing is kept', () => kept().every((size) => size === 0));
    });
  });

  describe('look for sockets', () => {
    beforeEach(() => begin());

    it('everywhere, in rooms, except in rooms, and only here', async () => {
      await Promise.all([join([ann, bob], 'r1'), join([bob, cid], 'r2')]);
      const fetch = async (operator: Pick<typeof a.server, 'fetchSockets'>) => lettersOf(await operator.fetchSockets());
      expect({
        all: await fetch(a.server),
        room: await fetch(c.server.in('r1')),
        rooms: await fetch(a.server.in(['r1', 'r2'])),
        except: await fetch(b.server.except('r1')),
        both: await fetch(b.server.in('r2').except('r1')),
        id: await fetch(a.server.in(cid.socket.id)),
        none: await fetch(a.server.in('none')),
        local: await fetch(b.server.local),
      }).toEqual({ all: 'abc', room: 'ab', rooms: 'abc', except: 'c', both: 'c', id: 'c', none: '', local: 'b' });
    });

    it('and find those of others as they are, and their own themselves', async () => {
      const auth = { token: 't', deep: [{ x: null }] };
      const dan = await stage.visit(b, '/', { ...WEBSOCKET, auth, query: { q: 'ü' } });
      await join([ann, dan], ['r1', 7, '7']);
      dan.socket.data = { user: 'dan', bytes: Buffer.from('x'), deep: [{ n: 1.5 }] };
      const sockets = await a.server.in('r1').fetchSockets();
      const remote = sockets.find(({ id }) => id === dan.socket.id)!;
      expect(sockets.find(({ id }) => id === ann.socket.id)).toBe(ann.socket);
      const { id, handshake, rooms, data } = dan.socket;
      expect(remote).toMatchObject({ id, handshake: { ...handshake }, rooms, data });
      expect(remote.rooms).toBeInstanceOf(Set);
    });

    it('and find one that carries what cannot be sent, without that', async () => {
      const dan = await stage.visit(b, '/', WEBSOCKET);
      const cycle: unknown[] = [];
      cycle.push(cycle);
      bob.socket.data = { cycle };
      dan.socket.data = { user: 'dan' };
      (dan.socket.handshake as unknown as Record<string, unknown>)['sessionStore'] = cycle;
      const sockets = await a.server.fetchSockets();
      const dataOf = ({ socket: { id } }: Visitor) => sockets.find((socket) => socket.id === id)?.data as unknown;
      expect([bob, dan, cid].map(dataOf)).toEqual([{}, { user: 'dan' }, {}]);
      const { handshake } = sockets.find(({ id }) => id === dan.socket.id)!;
      expect({ ...handshake, sessionStore: cycle }).toEqual({ ...dan.socket.handshake });
      await until('b tells', () => b.errors.map(({ code }) => code).join() === 'BAD_REQUEST');
    });
  });

  describe('command sockets', () => {
    beforeEach(() => begin());

    it('to join rooms: all, those in rooms, one, not some, those here', async () => {
      await Promise.all([join([ann, bob], 'r'), join([bob, cid], 7)]);
      await done(a.server.socketsJoin('all'));
      await done(c.server.in('r').socketsJoin(['matching 1', 'matching 2']));
      await done(a.server.in('7').socketsJoin('by number'));
      await done(b.server.in(ann.socket.id).socketsJoin('given'));
      await done(c.server.except('r').socketsJoin('except'));
      await done(b.server.local.socketsJoin('local'));
      const rooms = ['all', 'matching 1', 'matching 2', 'by number', 'given', 'except', 'local'];
      expect(rooms.map(membersOf)).toEqual(['abc', 'ab', 'ab', 'bc', 'a', 'c', 'b']);
    });

    it('to leave rooms: all, those in rooms, one, not some, those here', async () => {
      const rooms = ['all', 'matching 1', 'matching 2', 'given', 'except', 'local'];
      await Promise.all([join(visitors, rooms), join([ann, bob], 'r')]);
      await done(a.server.socketsLeave('all'));
      await done(c.server.in('r').socketsLeave('matching 1'));
      await done(c.server.in('r').socketsLeave('matching 2'));
      await done(b.server.in(ann.socket.id).socketsLeave('given'));
      await done(c.server.except('r').socketsLeave('except'));
      await done(b.server.local.socketsLeave('local'));
      expect(rooms.map(membersOf)).toEqual(['', 'c', 'c', 'bc', 'ab', 'ac']);
    });

    it('to join and to leave rooms named by any number, by their digits too', async () => {
      await join(visitors, [5, 6, 7]);
      await done(a.server.socketsLeave('5'));
      await done(a.server.socketsLeave(6 as never));
      await done(a.server.in('7').socketsLeave(['7', '8']));
      await done(a.server.socketsJoin([NaN, -0, 1e21] as never[]));
      const left = [ann, bob, cid].map(({ socket }) => [...socket.rooms].slice(1).map(String));
      expect(left).toEqual(visitors.map(() => ['NaN', '0', '1e+21']));
      for (const room of ['NaN', '0', '1e+21']) c.server.to(room).emit('in', room);
      await settle(instances, visitors);
      await done(a.server.socketsLeave(['NaN', '0', 1e21 as never]));
      expect(visitors.map(({ heard, socket }) => [heard.length, socket.rooms.size])).toEqual(
        visitors.map(() => [3, 1]),
      );
      expect(instances.map(({ errors }) => errors)).toEqual([[], [], []]);
    });

    it('to disconnect: those in rooms, those here, from the namespace or altogether', async () => {
      const others = visitors.map(({ client }) => client.io.socket('/other', {}));
      for (const { server } of instances) server.of('/other');
      await until('all are in', () => others.every(({ connected }) => connected));
      const connected = () =>
        [visitors.map(({ client }) => client), others].map((list) => list.map((each) => each.connected));
      await done(a.server.of('/other').local.disconnectSockets());
      await until('ann has left the namespace', () => !others[0]!.connected);
      await join([bob, cid], 'r');
      await done(a.server.in('r').except(cid.socket.id).disconnectSockets());
      await until('bob has left', () => !bob.client.connected);
      expect(connected()).toEqual([
        [true, false, true],
        [false, true, true],
      ]);
      await done(a.server.in(cid.socket.id).disconnectSockets(true));
      await until('cid is gone', () => !others[2]!.connected);
      expect(connected()).toEqual([
        [true, false, false],
        [false, true, false],
      ]);
      a.server.disconnectSockets();
      await until('ann is gone', () => !ann.client.connected);
      expect(others[1]!.connected).toBe(true);
    });

    it('and once that is awaited, all instances reach them: 200 times of 200', async () => {
      for (let i = 0; i < 200; i++) {
        await done(a.server.in(bob.socket.id).socketsJoin(`join-${i}`));
        c.server.to(`join-${i}`).emit('joined', i);
      }
      await settle(instances, visitors);
      expect(bob.heard).toEqual(Array.from({ length: 200 }, (_, i) => ['joined', i]));
    });
  });

  it('command sockets to join rooms, over a slow line too: 20 of 20 are reached once that is awaited', async () => {
    await begin({ ...PATIENT, transport: slow(stage.transport()) });
    for (let i = 0; i < 20; i++) {
      await done((i % 2 ? a.server.in(ann.socket.id) : a.server.except(cid.socket.id)).socketsJoin(`join-${i}`));
      c.server.to(`join-${i}`).emit('joined', i);
    }
    await settle(instances, visitors);
    const all = Array.from({ length: 20 }, (_, i) => ['joined', i]);
    expect(visitors.map(({ heard }) => heard)).toEqual([all, all.filter((_, i) => i % 2 === 0), []]);
  });

  it('tell the broker nothing when a room is left and joined again soon', async () => {
    const told: string[] = [];
    const visit = async (linger: number) => {
      const transport = preceded(stage.transport(), (call, channels) => told.push(`${call} ${channels.join()}`));
      const instance = await stage.instance({ ...QUIET, transport, bus: { ...QUIET.bus, linger } });
      told.splice(0);
      return stage.visit(instance, '/', WEBSOCKET);
    };
    const long = await visit(FOREVER);
    await join([long], 'r');
    await long.socket.leave('r');
    await nothingMore();
    await join([long], 'r');
    expect(told).toEqual(['subscribe room:r']);

    const short = await visit(LINGER);
    await join([short], 'r');
    await short.socket.leave('r');
    await join([short], 'r');
    await nothingMore();
    expect(told).toEqual(['subscribe room:r']);
    await short.socket.leave('r');
    await until('it is gone', () => told.length === 2);
    await join([short], 'r');
    expect(told).toEqual(['subscribe room:r', 'unsubscribe room:r', 'subscribe room:r']);
  });

  describe('speak to each other', () => {
    beforeEach(() => begin());

    it('in events, which the others hear, in one namespace', async () => {
      const heard: unknown[][] = [];
      instances.forEach(({ server }, index) => {
        server.on('event', (...args: unknown[]) => heard.push([index, ...args]));
        server.of('/other').on('event', (...args: unknown[]) => heard.push([index, 'other', ...args]));
      });
      a.server.serverSideEmit('event', 1, { bytes: Buffer.from('x') });
      c.server.of('/other').serverSideEmit('event');
      await until('all have heard', () => heard.length >= 4);
      await settle(instances, visitors);
      const event = [1, { bytes: Buffer.from('x') }];
      expect(heard.sort()).toEqual([
        [0, 'other'],
        [1, ...event],
        [1, 'other'],
        [2, ...event],
      ]);
    });

    it('in questions, which each of the others answers once, with bytes too', async () => {
      let messages = 0;
      a.bus.control.on('sockets.answer', () => messages++);
      instances.forEach(({ server }, index) =>
        server.on('question', (bytes: Buffer, answer: (value: unknown) => void) => {
          answer([index, Buffer.isBuffer(bytes), bytes]);
          answer('again');
        }),
      );
      const answers = (await a.server.serverSideEmitWithAck('question', Buffer.from('x'))) as unknown[];
      expect(answers.sort()).toEqual([
        [1, true, Buffer.from('x')],
        [2, true, Buffer.from('x')],
      ]);
      await settle(instances, visitors);
      expect(messages).toBe(2);
    });

    it('in questions, which who has not opened the namespace need not answer', async () => {
      b.server.of('/only-b').on('question', (answer: (value: unknown) => void) => answer('b'));
      expect({
        'by the only one': await b.server.of('/only-b').serverSideEmitWithAck('question'),
        'by others': await a.server.of('/only-b').serverSideEmitWithAck('question'),
        'that nobody else has': await c.server.of('/only-c').serverSideEmitWithAck('question'),
      }).toEqual({ 'by the only one': [], 'by others': ['b'], 'that nobody else has': [] });
    });
  });

  it('with what cannot be sent, and who asks is told', async () => {
    await begin();
    const cycle: unknown[] = [];
    cycle.push(cycle);
    b.server.on('question', (answer: (value: unknown) => void) => answer(cycle));
    c.server.on('question', (answer: (value: unknown) => void) => answer('c'));
    expect(((await a.server.serverSideEmitWithAck('question')) as unknown[]).sort()).toEqual(['c', null]);
    await expect(a.server.serverSideEmitWithAck('question', cycle)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    const { dropped } = a.bus.counts;
    a.server.serverSideEmit('event', cycle);
    await until('it is counted', () => a.bus.counts.dropped > dropped);
    expect([a, b, c].map(({ errors }) => errors.map(({ code }) => code))).toEqual([
      ['BAD_REQUEST'],
      ['BAD_REQUEST'],
      [],
    ]);
  });

  it.each([
    ['as other adapters say it', 1, undefined, 'timeout reached: only 1 responses received out of 2'],
    ['in words of our own', 0, (received: number, expected: number) => `${received} of ${expected}`, '0 of 2'],
  ])('hear how many have answered when some are silent, %s', async (_how, answering, timeoutText, message) => {
    await begin({ ...QUIET, adapter: { ...QUIET.adapter, requestsTimeout: BRIEF, timeoutText } });
    [b, c].forEach(({ server }, index) =>
      server.on('question', (answer: (value: unknown) => void) => index < answering && answer('yes')),
    );
    const asking = a.server.serverSideEmitWithAck('question');
    const error = await asking.then(undefined, (reason: Error & { responses: unknown[] }) => reason);
    expect(error).toMatchObject({ message, responses: ['yes'].slice(0, answering) });
    expect(a.adapter.requests.size).toBe(0);
  });

  describe('hear one that answers with what makes no sense', () => {
    const ODD = 'odd/1';
    const QUESTIONS = ['sockets.ask', 'sockets.fetch', 'sockets.settle', 'servers.ask'];
    const NUMBERS = ['rooms.sizes', 'rooms.stats', 'rooms.list'];

    let announce: () => Promise<void>;

    beforeEach(async () => {
      await begin();
      const odd = await stage.bus({ ...QUIET.bus, instance: 'odd' });
      for (const kind of [...QUESTIONS, ...NUMBERS])
        odd.control.on(kind, ({ header: { id, nsp, origin } }) => {
          const answer = { kind: 'sockets.answer', nsp, origin: ODD };
          void odd.control.send({ instance: origin!.split('/')[0]! }, answer, [id, [[{ id: 5 }], 'abc']]);
        });
      const member = { id: ODD, role: 'server', version: '1.0.0', startedAt: 1 };
      announce = () => odd.control.send('all', { kind: 'member', origin: ODD }, [member]);
      await announce();
      await until('all know it', () => instances.every(({ adapter }) => adapter.servers().length === 4));
    });

    it('and are told of it as of one that is missing, with what there is', async () => {
      const incomplete: Incomplete[] = [];
      a.adapter.on('incomplete', (each: Incomplete) => incomplete.push(each));
      for (const visitor of visitors) answerWith(visitor, 'yes');
      await join(visitors, 'r');
      for (const { server } of [b, c]) server.on('ask', (answer: (value: string) => void) => answer('yes'));
      expect({
        fetched: lettersOf(await a.server.fetchSockets()),
        acks: await a.server.timeout(FOREVER).emitWithAck('ask'),
        answers: await a.server.serverSideEmitWithAck('ask'),
        joined: await done(a.server.socketsJoin('s')),
        count: await a.adapter.countSockets('r'),
        stats: (await a.adapter.roomStats()).get('r'),
        rooms: (await a.adapter.allRooms()).size,
      }).toEqual({
        fetched: 'abc',
        acks: ['yes', 'yes', 'yes'],
        answers: ['yes', 'yes'],
        joined: undefined,
        count: 3,
        stats: 3,
        rooms: 5,
      });
      const requests = ['fetchSockets', 'emitWithAck', 'serverSideEmit', 'sockets.join', 'roomStats', 'allRooms'];
      expect(incomplete).toEqual(requests.map((request) => ({ request, missing: [ODD] })));
      expect(a.bus.counts).toMatchObject({ unreadable: 7, failed: 0 });
      expect(a.errors.map(({ code }) => code)).toEqual(expect.arrayContaining(['UNREADABLE', 'TIMEOUT']));
    });

    it('and are refused what there is, if they are strict', async () => {
      const strict = await stage.instance({ ...PATIENT, adapter: { ...PATIENT.adapter, strict: true } });
      await announce();
      await until('it knows all', () => strict.adapter.servers().length === 5);
      const missing = { code: 'TIMEOUT', message: expect.stringContaining(ODD) as string };
      await expect(strict.server.fetchSockets()).rejects.toMatchObject(missing);
      await expect(strict.adapter.roomStats()).rejects.toMatchObject(missing);
      await expect(strict.adapter.allRooms()).rejects.toMatchObject(missing);
    });
  });

  describe('count', () => {
    beforeEach(() => begin());

    it('each other', async () => {
      const [self, ...others] = a.adapter.servers();
      const member = { role: 'server', version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string };
      expect(self).toEqual({ ...member, id: expect.any(String) as string, startedAt: a.bus.startedAt });
      expect(others.map(({ startedAt }) => startedAt).sort()).toEqual([b, c].map(({ bus }) => bus.startedAt).sort());
      expect(others.map(({ id }) => id.split('/')[0]).sort()).toEqual([b, c].map(({ bus }) => bus.instance).sort());
      expect(await b.server.of('/').adapter.serverCount()).toBe(3);
      await b.server.close();
      await until('b is gone', async () => (await a.adapter.serverCount()) + (await c.adapter.serverCount()) === 4);
    });

    it('rooms and the sockets in them', async () => {
      await Promise.all([join([ann, bob], 'r1'), join([bob, cid], ['r2', 7]), join([ann], '7')]);
      const ids = visitors.map(({ socket }) => socket.id);
      const sizes = { r1: 2, r2: 2, 7: 3 };
      expect({
        rooms: [...(await a.adapter.allRooms())].sort(),
        sizes: Object.fromEntries(await c.adapter.roomStats()),
        counts: await Promise.all(['r1', 7 as never, '7', 'none', ids[0]!].map((room) => b.adapter.countSockets(room))),
        sockets: [...(await b.adapter.sockets(new Set(['r1'])))].sort(),
        'all sockets': [...(await a.adapter.sockets(new Set()))].sort(),
      }).toEqual({
        rooms: [...Object.keys(sizes), ...ids].sort(),
        sizes,
        counts: [2, 3, 3, 0, 1],
        sockets: ids.slice(0, 2).sort(),
        'all sockets': ids.sort(),
      });
    });

    it('nothing where a namespace is open on one of them only, and do not wait for the others', async () => {
      const { adapter } = a.server.of('/only-a') as unknown as { adapter: typeof a.adapter };
      const dan = await stage.visit(a, '/only-a', WEBSOCKET);
      await join([dan], 'r');
      answerWith(dan, 'dan');
      const only = a.server.of('/only-a');
      expect({
        sockets: (await only.fetchSockets()).length,
        stats: [...(await adapter.roomStats())],
        rooms: (await adapter.allRooms()).size,
        count: await adapter.countSockets('r'),
        answers: await only.timeout(FOREVER).emitWithAck('ask'),
        joined: await done(only.socketsJoin('r2')),
      }).toEqual({ sockets: 1, stats: [['r', 1]], rooms: 2, count: 1, answers: ['dan'], joined: undefined });
      expect(instances.map(({ errors }) => errors)).toEqual([[], [], []]);
    });
  });
});

/** Time for what must not happen, in several times that after which it would. */
function nothingMore(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5 * LINGER));
}
