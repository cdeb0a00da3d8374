/*
 * Processes without a Socket.IO server: what they emit and say in rooms is heard by the sockets of every server, which
 * neither know nor wait for them; and what they cannot say they are told.
 */
import { createEmitter, encode, Rooms, type Bus, type Emitter } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { transports } from '../transports.js';
import { audience, join, QUIET, settle, Stage, stall, type Instance, type Visitor } from './stage.js';

const WEBSOCKET = { transports: ['websocket'] };
/** Longer than a case may take. */
const FOREVER = 60_000;

describe.each(transports)('a process without a server, over %s', (_name, prepare) => {
  const stage = new Stage(prepare);
  let instances: Instance[];
  let visitors: Visitor[];
  let a: Instance;
  let ann: Visitor, bob: Visitor, cid: Visitor;
  let bus: Bus;
  let io: Emitter;
  let rooms: Rooms;

  beforeEach(async () => {
    const adapter = { ...QUIET.adapter, requestsTimeout: FOREVER, countTimeout: FOREVER };
    const three = await stage.three({ ...QUIET, adapter });
    instances = [a] = three;
    visitors = [ann, bob, cid] = await stage.visits(three, '/', WEBSOCKET);
    bus = await stage.bus(QUIET.bus);
    io = createEmitter(bus);
    rooms = new Rooms(bus);
  });

  /** Letters of the visitors who are in each of the rooms. */
  function membersOf(names: readonly string[]): string[] {
    return names.map((name) => visitors.map(({ socket }, i) => (socket.rooms.has(name) ? 'abc'[i] : '')).join(''));
  }

  describe('emits', () => {
    it('to everyone, to rooms, to one socket, and not to some', async () => {
      await Promise.all([join([ann, bob], ['r1', 7]), join([bob, cid], 'r2'), join([cid], '7')]);
      const { id } = bob.socket;
      const many = Array.from({ length: 20 }, (_, i) => `r${i}`);
      await Promise.all([
        io.emit('all'),
        io.to('r1').emit('r1'),
        io.to('r1').in('r2').emit('r1 and r2'),
        io.in(['r1', 'r2', 'none']).emit('r1, r2'),
        io.to(many).emit('twenty'),
        io.to(7).emit('number'),
        io.to(['7', 7]).emit('both'),
        io.to(id).emit('private'),
        io.to(['r1', id]).emit('a room and a socket'),
        io.except('r1').emit('all but r1'),
        io.to('r1').except(['r2', 'none']).emit('r1 but r2'),
        io.to('none').emit('nobody'),
      ]);
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({
        all: 'abc',
        r1: 'ab',
        'r1 and r2': 'abc',
        'r1, r2': 'abc',
        twenty: 'abc',
        number: 'abc',
        both: 'abc',
        private: 'b',
        'a room and a socket': 'ab',
        'all but r1': 'c',
        'r1 but r2': 'a',
      });
    });

    it('in a namespace, whatever is said to it', async () => {
      const others = await stage.visits([a], '/other', WEBSOCKET);
      await join([...visitors, ...others], 'r');
      await Promise.all([
        io.of('/other').emit('all'),
        io.of('other').to('r').emit('room'),
        io.to('r').of('/other').emit('room'),
        io.of('/other').of('/').emit('main'),
      ]);
      await settle(instances, visitors);
      await settle(instances, others, '/other');
      expect(audience([...visitors, ...others])).toEqual({ all: 'd', room: 'dd', main: 'abc' });
    });

    it('just what was said, bytes as Buffers', async () => {
      const said = [
        ['text', 'ü', undefined, { deep: [1.5, null] }],
        ['bytes', Buffer.from([0, 255]), { deep: [Buffer.from('x')] }],
      ];
      for (const [event, ...args] of said) await io.emit(event as string, ...args);
      await settle(instances, visitors);
      const heard = [['text', 'ü', null, { deep: [1.5, null] }], said[1]];
      expect(visitors.map((visitor) => visitor.heard)).toEqual([heard, heard, heard]);
    });

    it('what may be missed, and what is not to be compressed', async () => {
      const written: Record<string, unknown> = {};
      cid.socket.conn.on('packetCreate', ({ data, options }) => (written[String(data)] = options?.compress));
      const { counts } = instances[1]!.bus;
      const { received } = counts;
      const free = stall(bob.socket);
      await io.volatile.emit('volatile');
      await io.compress(false).emit('small');
      await until('both have come to b', () => counts.received === received + 2);
      free();
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ volatile: 'ac', small: 'abc' });
      expect(written).toEqual({ '2["volatile"]': true, '2["small"]': false, '2["settled"]': true });
    });

    it('by as few ways as there are', async () => {
      const ways = async (emit: () => Promise<unknown>) => {
        const { published } = bus.counts;
        await emit();
        return bus.counts.published - published;
      };
      const many = Array.from({ length: 9 }, (_, i) => `r${i}`);
      expect({
        everyone: await ways(() => io.emit('x')),
        'two rooms': await ways(() => io.to(['r1', 'r2']).emit('x')),
        'one room, named twice': await ways(() => io.to('7').to(7).emit('x')),
        'nine rooms': await ways(() => io.to(many).emit('x')),
        'a room and a socket': await ways(() => io.to(['r', bob.socket.id]).emit('x')),
        'said in two rooms': await ways(() => rooms.to(['r1', 'r2', 'r1']).emit('x')),
      }).toEqual({
        everyone: 1,
        'two rooms': 2,
        'one room, named twice': 1,
        'nine rooms': 1,
        'a room and a socket': 1,
        'said in two rooms': 2,
      });
    });

    it('from a process with a server too, whose own sockets hear it as well', async () => {
      await createEmitter(a.bus).emit('all');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ all: 'abc' });
    });
  });

  describe('commands', () => {
    it('sockets to join and to leave rooms', async () => {
      await join([ann, bob], 'r');
      await io.socketsJoin('all');
      await io.to('r').socketsJoin(['x', 'y']);
      await io.except('r').socketsJoin('z');
      await io.in(cid.socket.id).socketsJoin(7);
      await io.of('/other').socketsJoin('elsewhere');
      await settle(instances, visitors);
      const names = ['all', 'x', 'y', 'z', '7', 'elsewhere'];
      const joined = membersOf(names);
      await io.in(['r', 'none']).socketsLeave(['all', 'x']);
      await io.except(bob.socket.id).socketsLeave('y');
      await settle(instances, visitors);
      expect([joined, membersOf(names)]).toEqual([
        ['abc', 'ab', 'ab', 'c', 'c', ''],
        ['c', '', 'b', 'c', 'c', ''],
      ]);
      await io.to('all').emit('all');
      await io.to('7').emit('7');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ all: 'c', 7: 'c' });
    });

    it('sockets to leave rooms that they have joined by a number, and to join one', async () => {
      await join([ann, bob], [5, 6]);
      await io.in(5).socketsLeave(5);
      await io.in('6').except(bob.socket.id).socketsLeave('6');
      await io.socketsJoin(NaN);
      await settle(instances, visitors);
      expect(visitors.map(({ socket }) => [...socket.rooms].slice(1))).toEqual([['NaN'], [6, 'NaN'], ['NaN']]);
    });

    it('sockets to disconnect, from a namespace or altogether', async () => {
      const others = visitors.map(({ client }) => client.io.socket('/other', {}));
      for (const { server } of instances) server.of('/other');
      await until('all are in', () => others.every(({ connected }) => connected));
      await io.in(bob.socket.id).disconnectSockets();
      await io.of('/other').in(others[0]!.id!).disconnectSockets(true);
      await until('they are gone', () => !bob.client.connected && !others[0]!.connected && !ann.client.connected);
      await settle(instances, [cid]);
      expect([others[1]!, others[2]!, cid.client].map(({ connected }) => connected)).toEqual([true, true, true]);
    });

    it('servers, all of them, in events of one namespace', async () => {
      const heard: unknown[][] = [];
      instances.forEach(({ server }, i) => {
        server.on('event', (...args: unknown[]) => heard.push([i, ...args]));
        server.of('/other').on('event', (...args: unknown[]) => heard.push([i, 'other', ...args]));
      });
      await io.serverSideEmit('event', { bytes: Buffer.from('x') });
      await io.of('/other').serverSideEmit('event');
      await settle(instances, visitors);
      const event = [{ bytes: Buffer.from('x') }];
      const all = [0, 1, 2].flatMap((i) => [
        [i, ...event],
        [i, 'other'],
      ]);
      expect(heard.sort(([x], [y]) => Number(x) - Number(y))).toEqual(all);
    });
  });

  it('is nobody to the servers: not counted, not asked, not waited for', async () => {
    await io.emit('here I am');
    await settle(instances, visitors);
    for (const { client } of visitors) client.on('ask', (answer: (value: string) => void) => answer('yes'));
    for (const { server } of instances) server.on('question', (answer: (value: string) => void) => answer('yes'));
    expect({
      counts: await Promise.all(instances.map(({ adapter }) => adapter.serverCount())),
      sockets: (await a.server.fetchSockets()).length,
      answers: await a.server.timeout(FOREVER).emitWithAck('ask'),
      replies: await a.server.serverSideEmitWithAck('question'),
      wanted: bus.wanted,
    }).toEqual({ counts: [3, 3, 3], sockets: 3, answers: ['yes', 'yes', 'yes'], replies: ['yes', 'yes'], wanted: 3 });
  });

  describe('says in rooms', () => {
    it('what members hear once, with meta, of whom it is and which it is', async () => {
      await Promise.all([join([ann], 'r1'), join([bob], ['r1', 'r2'])]);
      const { id } = await rooms.to('r1').to('r2').from('cron').emit('news', { n: 1 });
      await rooms.to(Array.from({ length: 20 }, (_, i) => `r${i}`)).emit('many');
      for (const room of ['r1', 'r2']) await rooms.publish({ room, event: 'news', data: 'again', id });
      await rooms.to('r1').except('r2').emit('not in r2', Buffer.from('x'));
      await settle(instances, visitors);
      const meta = { room: 'r1', id, at: expect.any(Number) as number, from: 'cron' };
      const both = [
        ['news', { n: 1 }, meta],
        ['many', null, expect.objectContaining({ room: 'r1' })],
      ];
      const one = ['not in r2', Buffer.from('x'), expect.objectContaining({ room: 'r1' })];
      expect(visitors.map(({ heard }) => heard)).toEqual([[...both, one], both, []]);
    });

    it('the same again, where it is said in another room or in another namespace', async () => {
      const others = await stage.visits([a], '/other', WEBSOCKET);
      await join([...visitors, ...others], ['r', 's']);
      const { id } = await rooms.of('/other').to('r').emit('other');
      await rooms.publish({ room: 'r', event: 'main', id });
      await rooms.publish({ room: 's', event: 'another room', id });
      await rooms.publish({ room: 'r', event: 'again', id });
      await settle(instances, visitors);
      await settle(instances, others, '/other');
      expect(audience([...visitors, ...others])).toEqual({ main: 'abc', 'another room': 'abc', other: 'd' });
    });

    it('what reaches a socket whose join to an earlier one of the rooms is still on its way', async () => {
      await join([bob], 'second');
      await Promise.all([join([bob], 'first'), rooms.to(['first', 'second']).emit('both')]);
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ both: 'b' });
    });

    it('what reaches a socket once, whichever of the copies come, and whichever before it joins', async () => {
      // Cid's instance hears the first room for the sake of another namespace.
      const others = await stage.visits([instances[2]!], '/other', WEBSOCKET);
      await Promise.all([join(visitors, 'second'), join([bob, ...others], 'first')]);
      const message = encode({ id: 'm', rooms: ['first', 'second'] }, ['both']);
      await bus.publish('room:first', message);
      await settle(instances, visitors);
      await join(visitors, 'first');
      await bus.publish('room:second', message);
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ both: 'abc' });
    });

    it('and is heard by those without the room nowhere, whatever it is called', async () => {
      await join([bob], ['#', 'ünï', 'x'.repeat(300)]);
      for (const room of ['#', '*', 'ünï', 'x'.repeat(300), 'x'.repeat(299)]) await rooms.to(room).emit(room);
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ '#': 'b', ünï: 'b', ['x'.repeat(300)]: 'b' });
    });
  });

  describe('that does what cannot be', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const wrong: Record<string, () => Promise<unknown>> = {
      'a reserved event': () => io.emit('connect'),
      'no event': () => io.emit(''),
      'a number for an event': () => io.emit(5 as never),
      'to no room': () => io.to([]).emit('x'),
      'to a room without a name': () => io.to('').emit('x'),
      'to what is no name': () => io.to({} as never).emit('x'),
      'except no room': () => io.except([]).emit('x'),
      'in a namespace that is a number': () => io.of(5 as never).emit('x'),
      'in no namespace': () => io.of(null as never).emit('x'),
      'a join in a namespace that is a number': () => io.of(5 as never).socketsJoin('r'),
      'to servers in no namespace': () => io.of(null as never).serverSideEmit('x'),
      'in a room of a namespace that is a number': () =>
        rooms
          .of(5 as never)
          .to('r')
          .emit('x'),
      'a cycle': () => io.emit('x', cycle),
      'a bigint': () => io.emit('x', 1n),
      'a callback': () => io.emit('x', () => undefined),
      'a join without rooms': () => io.socketsJoin([]),
      'a join to a room without a name': () => io.socketsJoin(['r', '']),
      'a leave by nobody': () => io.to([]).socketsLeave('r'),
      'a disconnect of nobody': () => io.to([]).disconnectSockets(),
      "a server's reserved event": () => io.serverSideEmit('connection', {}),
      'a question to servers': () => io.serverSideEmit('x', () => undefined),
      'a cycle to servers': () => io.serverSideEmit('x', cycle),
      'a cycle in a room': () => rooms.to('r').emit('x', cycle),
      'a callback in a room': () => rooms.to('r').emit('x', () => undefined),
      'in no room': () => rooms.to([]).emit('x'),
      'a reserved event in a room': () => rooms.to('r').emit('disconnect'),
    };
    const names = Object.keys(wrong);

    /** The code that each is refused with. */
    async function codes(): Promise<unknown[]> {
      return Promise.all(
        names.map((name) =>
          wrong[name]!().then(
            () => `${name} was taken`,
            ({ code }: { code: string }) => code,
          ),
        ),
      );
    }

    it('is told, and nothing is sent', async () => {
      const { published } = bus.counts;
      expect(await codes()).toEqual(names.map(() => 'BAD_REQUEST'));
      await settle(instances, visitors);
      expect([bus.counts.published - published, audience(visitors)]).toEqual([0, {}]);
    });

    it('may leave it at that: it is counted, and told once as an error', async () => {
      const errors: string[] = [];
      bus.on('error', ({ code }) => errors.push(code));
      for (const name of names) void wrong[name]!();
      await until('all are counted', () => bus.counts.dropped === names.length);
      expect(errors).toEqual(['BAD_REQUEST']);
    });

    it('is told that the bus was closed, and may leave that too', async () => {
      await bus.close();
      const attempts = [
        () => io.emit('x'),
        () => io.to('r').emit('x'),
        () => io.socketsJoin('r'),
        () => io.socketsLeave('r'),
        () => io.disconnectSockets(),
        () => io.serverSideEmit('x'),
        () => rooms.to('r').emit('x'),
      ];
      for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject({ code: 'CLOSED' });
      for (const attempt of attempts) void attempt();
      await until('all are counted', () => bus.counts.dropped === 2 * attempts.length);
    });
  });
});
