/*
 * What `io` says on one instance is heard by the sockets of the others: rooms, flags, namespaces, parsers, once per
 * socket, and only where somebody is interested. What servers ask each other is in questions.spec.ts.
 */
import { createAdapter, createEmitter, encode, looksLikeSocketId, Rooms, type Channel } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import * as msgpack from 'socket.io-msgpack-parser';
import { WebSocket } from 'ws';
import { transports } from '../transports.js';
import { audience, done, join, QUIET, settle, slow, Stage, stall, type Instance, type Visitor } from './stage.js';

/** A polling client turns to a websocket at a time of its own. */
const WEBSOCKET = { transports: ['websocket'] };

/** What a client of Socket.IO 2 gets: frames as they come, bytes in hexadecimal. */
async function visitByVersion2({ url }: Instance) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=3&transport=websocket`);
  const frames: string[] = [];
  socket.on('message', (data: Buffer, isBinary) => frames.push(data.toString(isBinary ? 'hex' : 'utf8')));
  await until('the client is connected', () => frames.includes('40'));
  const { sid } = JSON.parse(frames[0]!.slice(1)) as { sid: string };
  const take = async (last: string) => {
    await until(`${last} arrives`, () => frames.includes(`42["${last}"]`));
    return frames.splice(0);
  };
  frames.splice(0);
  return { socket, sid, take };
}

describe.each(transports)('what is emitted over %s', (_name, prepare) => {
  const stage = new Stage(prepare);
  let instances: Instance[];
  let visitors: Visitor[];
  let a: Instance, b: Instance, c: Instance;
  let ann: Visitor, bob: Visitor, cid: Visitor;

  /** The channels that an instance publishes to while it emits. */
  async function waysOf(instance: Instance, emit: () => unknown): Promise<Channel[]> {
    instance.published.splice(0);
    emit();
    await settle(instances, visitors);
    return instance.published.splice(0).slice(0, -1); // without the last message
  }

  describe('by three servers', () => {
    beforeEach(async () => {
      const three = await stage.three(QUIET);
      instances = [a, b, c] = three;
      visitors = [ann, bob, cid] = await stage.visits(three, '/', WEBSOCKET);
    });

    it('reaches everyone, those in rooms, and not those in others', async () => {
      await Promise.all([join([ann, bob], 'r1'), join([bob, cid], 'r2')]);
      a.server.emit('all');
      b.server.to('r1').emit('r1');
      c.server.in(['r1', 'r2']).emit('r1, r2');
      a.server.to('r1').to('r2').to('none').emit('r1 and r2');
      b.server.except('r1').emit('all but r1');
      c.server.to('r1').except('r2').emit('r1 but r2');
      a.server.to('r1').except(['none', cid.socket.id]).emit('r1 but others');
      b.server.to(['r1', 'r2']).except('r1').except('r2').emit('nobody');
      ann.socket.broadcast.emit('all but the sender');
      bob.socket.to('r2').emit('r2 but the sender');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({
        all: 'abc',
        r1: 'ab',
        'r1, r2': 'abc',
        'r1 and r2': 'abc',
        'all but r1': 'c',
        'r1 but r2': 'a',
        'r1 but others': 'ab',
        'all but the sender': 'bc',
        'r2 but the sender': 'c',
      });
    });

    it('reaches one socket by its id, wherever it is', async () => {
      for (const { server } of instances) {
        for (const { socket } of visitors) server.to(socket.id).emit('private');
        server.except(cid.socket.id).emit('not to cid');
      }
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ private: 'aaabbbccc', 'not to cid': 'aaabbb' });
    });

    it('arrives as it was said, bytes as Buffers', async () => {
      const said = ['said', 1, 'ü"\n\u2028', null, { deep: [true, { x: 1.5 }] }, [[]]];
      const bytes = ['bytes', Buffer.from([1, 2]), { deep: [Buffer.from('x')] }, Buffer.alloc(0)];
      for (const [event, ...args] of [said, bytes]) a.server.emit(event as string, ...args);
      await settle(instances, visitors);
      expect(visitors.map(({ heard }) => heard)).toEqual([
        [said, bytes],
        [said, bytes],
        [said, bytes],
      ]);
    });

    it('reaches clients that poll, bytes too', async () => {
      const poller = await stage.visit(b, '/', { transports: ['polling'] });
      await join([poller], 'r');
      a.server.to('r').emit('text', 'ü');
      a.server.to('r').emit('bytes', Buffer.from('x'), [Buffer.from('y')]);
      await settle(instances, [...visitors, poller]);
      expect(poller.heard).toEqual([
        ['text', 'ü'],
        ['bytes', Buffer.from('x'), [Buffer.from('y')]],
      ]);
    });

    it('has the bytes of numbers of more than one', async () => {
      await join(visitors, 'r');
      a.server.to('r').emit('numbers', new Uint16Array([1, 500]), new Float64Array([0, 1.5]).subarray(1));
      await settle(instances, visitors);
      const said = ['numbers', Buffer.from('0100f401', 'hex'), Buffer.from('000000000000f83f', 'hex')];
      expect(visitors.map(({ heard }) => heard)).toEqual([[said], [said], [said]]);
    });

    it('reaches local sockets in the same turn, and with `local` nobody else', async () => {
      const written: string[] = [];
      const write = ann.socket.conn.write.bind(ann.socket.conn);
      ann.socket.conn.write = ((data: string, ...rest: []) => {
        written.push(data);
        return write(data, ...rest);
      }) as typeof ann.socket.conn.write;
      a.server.emit('now');
      expect(written).toEqual(['2["now"]']);
      a.server.local.emit('here only');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ now: 'abc', 'here only': 'a' });
    });

    it('is missed by a socket that cannot take it at once where it is volatile, on every instance', async () => {
      const free = [ann, bob].map(({ socket }) => stall(socket));
      const { received } = b.bus.counts;
      a.server.volatile.emit('volatile');
      a.server.emit('kept');
      await until('both have come to b', () => b.bus.counts.received === received + 2);
      for (const socket of free) socket();
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ volatile: 'c', kept: 'abc' });
    });

    it('is compressed as it says, on every instance', async () => {
      const written = [ann, bob].map(({ socket }) => {
        const packets: Record<string, unknown> = {};
        socket.conn.on('packetCreate', ({ data, options }) => (packets[String(data)] = options?.compress));
        return packets;
      });
      a.server.emit('as usual');
      a.server.compress(false).emit('no');
      a.server.compress(true).emit('yes');
      await settle(instances, visitors);
      const expected = { '2["as usual"]': true, '2["no"]': false, '2["yes"]': true, '2["settled"]': true };
      expect(written).toEqual([expected, expected]);
    });

    it('reaches a socket once its join is awaited, 200 times of 200', async () => {
      for (let i = 0; i < 200; i++) {
        await ann.socket.join(`join-${i}`);
        b.server.to(`join-${i}`).emit('joined', i);
      }
      await settle(instances, visitors);
      expect(ann.heard).toEqual(Array.from({ length: 200 }, (_, i) => ['joined', i]));
    });

    it('is seen by listeners of outgoing packets, and is not changed by them', async () => {
      const seen: unknown[][] = [];
      bob.socket.onAnyOutgoing((...args: unknown[]) => seen.push(args));
      a.server.emit('seen', { x: Buffer.from('y') });
      await settle(instances, visitors);
      const expected = [['seen', { x: Buffer.from('y') }]];
      expect({ seen: seen.filter(([event]) => event !== 'settled'), heard: bob.heard }).toEqual({
        seen: expected,
        heard: expected,
      });
    });

    // Rooms

    it('reaches rooms named by a number, as which they are the same as by its digits, from everywhere to everywhere', async () => {
      const dan = await stage.visit(b, '/', WEBSOCKET);
      visitors.push(dan);
      await Promise.all([join([ann, dan], 7), join([bob], '7')]);
      for (const { server } of instances) {
        server.to(7 as never).emit('number');
        server.to('7').emit('digits');
        server.to(['7', 7 as never]).emit('both');
        server.except(7 as never).emit('but the number');
        server.except('7').emit('but the digits');
      }
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({
        number: 'aaabbbddd',
        digits: 'aaabbbddd',
        both: 'aaabbbddd',
        'but the number': 'ccc',
        'but the digits': 'ccc',
      });
    });

    it.each([-5, 1.5, 1e21, Number.MAX_SAFE_INTEGER])('reaches the room %d, a number, on all of them', async (room) => {
      await join(visitors, room);
      a.server.to(room as never).emit('number');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ number: 'abc' });
    });

    it('reaches a room for its other members when a member by number leaves it', async () => {
      const dan = await stage.visit(b, '/', WEBSOCKET);
      visitors.push(dan);
      await Promise.all([join([ann, dan], 123), join([bob], '123')]);
      c.server.to('123').emit('before');
      await settle(instances, visitors);
      await Promise.all([ann.socket.leave(123 as never), dan.socket.leave(123 as never)]);
      const heard = [a, b].map(({ adapter }) => adapter.isHeard('123'));
      c.server.to('123').emit('after');
      await settle(instances, visitors);
      expect({ heard, ...audience(visitors) }).toEqual({ heard: [false, true], before: 'abd', after: 'b' });
    });

    it('reaches rooms of any name, and no other', async () => {
      const names = ['#', '*', '.', 'a.#', 'a.*.b', '', ' ', '%2A', '{tag}', 'ünï-🎈', '\ud800', 'x'.repeat(20)];
      names.push('l'.repeat(299) + '1', 'l'.repeat(299) + '2', '🎈'.repeat(100), '\u0000', 'a\nb', '__proto__');

      const others = ['a', 'a.b', 'x', 'l'.repeat(299), '*.*', '##'];
      await Promise.all([join([bob], names), join([ann, cid], others)]);
      for (const { server } of instances) for (const name of names) server.to(name).emit('in', name);
      await settle(instances, visitors);
      const times = (name: string) => bob.heard.filter(([, room]) => room === name).length;
      expect(names.filter((name) => times(name) !== 3)).toEqual([]);
      expect(audience(visitors)).toEqual({ in: 'b'.repeat(3 * names.length) });
    });

    it('reaches a public room that looks like a socket', async () => {
      const room = 'news-of-today-and-so';
      await Promise.all([join([bob, cid], room), join([cid], 'r')]);
      a.server.to(room).emit('plain');
      a.server.to(['r', room]).emit('with another room');
      c.server.to(room).except('r').emit('except');
      await new Rooms(a.bus).publish({ room, event: 'published' });
      await settle(instances, visitors);
      const published = { plain: 'bc', 'with another room': 'bc', except: 'b', published: 'bc' };
      expect({ like: looksLikeSocketId(room), ...audience(visitors) }).toEqual({ like: true, ...published });
    });

    // Once, and no further than needed

    it('reaches a socket in several of the rooms once, by whatever way', async () => {
      const dan = await stage.visit(b, '/', WEBSOCKET);
      visitors.push(dan);
      const many = Array.from({ length: 20 }, (_, i) => `r${i}`);
      await join([ann, bob], many);
      // The room of bob's own id, in which others are as well: on his instance, and on another.
      await join([cid, dan], bob.socket.id);
      const emit = (server: Pick<typeof a.server, 'to'>) => {
        server.to(['r1', 'r2']).emit('two');
        server.to(many.slice(0, 8)).emit('eight');
        server.to(many).emit('twenty');
        server.to(bob.socket.id).emit('own id');
        server.to(['r1', bob.socket.id]).emit('a room and the own id');
        server.to([bob.socket.id, 'r1', cid.socket.id]).emit('the own id and a room');
      };
      const expected = {
        two: 'ab',
        eight: 'ab',
        twenty: 'ab',
        'own id': 'bcd',
        'a room and the own id': 'abcd',
        'the own id and a room': 'abcd',
      };
      const heard: unknown[] = [];
      emit(a.server); // without knowing who has bob
      await settle(instances, visitors);
      heard.push(audience(visitors));
      await a.server.fetchSockets();
      emit(a.server);
      await settle(instances, visitors);
      heard.push(audience(visitors));
      emit(b.server);
      await settle(instances, visitors);
      heard.push(audience(visitors));
      expect(heard).toEqual([expected, expected, expected]);
    });

    it('reaches a socket once though a room is named twice: as a number and by its digits, or by others', async () => {
      await join(visitors, [5, 'r']);
      a.server
        .to(5 as never)
        .to('r')
        .to('5')
        .emit('by number');
      const said = encode({ id: 'named-twice', rooms: ['r', '5', 'r'] }, ['by others']);
      for (const room of ['r', '5'] as const) await b.bus.publish(`room:${room}`, said);
      await b.bus.control.send('all', { kind: 'emit', rooms: ['r', '5', 'r'] }, ['by others, to all']);
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ 'by number': 'abc', 'by others': 'abc', 'by others, to all': 'abc' });
    });

    it('reaches a socket in several rooms of one message once, with an id or without', async () => {
      await join([ann, bob], ['r', 's']);
      await join([cid], 's');
      const say = (text: string) => c.bus.publish('all', Buffer.from(text));
      await say('{"v":1,"kind":"emit","id":"x","rooms":["r","s"],"args":["with an id"]}');
      for (let i = 0; i < 2; i++) await say('{"v":1,"kind":"emit","rooms":["r","s"],"args":["without"]}');
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ 'with an id': 'abc', without: 'aabbcc' });
    });

    it('reaches everyone where it is for no room in particular', async () => {
      for (const rooms of ['', '"rooms":[],'])
        await c.bus.publish('all', Buffer.from(`{"v":1,"kind":"emit",${rooms}"args":["all"]}`));
      await settle(instances, visitors);
      expect(audience(visitors)).toEqual({ all: 'aabbcc' });
    });

    it('reaches a socket once when it changes rooms between the copies', async () => {
      const [ann, bob] = visitors as [Visitor, Visitor];
      // ann and bob keep the rooms heard on their instances.
      await join([ann], ['left', 'joined', 'markers']);
      const mover = await stage.visit(a);
      await join([mover], 'left');
      const said = encode({ id: 'said-once', rooms: ['left', 'joined'], raw: 1, origin: 'elsewhere' }, ['moved']);
      await b.bus.publish('room:left', said);
      await until('the first copy is here', () => mover.heard.length === 1);
      void mover.socket.leave('left');
      await join([mover], 'joined');
      await b.bus.publish('room:joined', said);
      const late = encode({ id: 'said-later', rooms: ['left', 'joined'], raw: 1, origin: 'elsewhere' }, ['missed']);
      void mover.socket.leave('joined');
      await b.bus.publish('room:left', late);
      await until('the first copy of the other is here', () => ann.heard.some(([event]) => event === 'missed'));
      await join([mover], ['left', 'joined']);
      await b.bus.publish('room:joined', late);
      await settle(instances, [...visitors, mover]);
      expect([ann, bob, mover].map(({ heard }) => heard)).toEqual([
        [['moved'], ['missed']],
        [],
        [['moved'], ['missed']],
      ]);
    });

    it('to thousands of rooms reaches those who are in some of them, once', async () => {
      const many = Array.from({ length: 5_000 }, (_, i) => `many-${i}`);
      await join(visitors, ['many-7', 'many-4999']);
      a.server.to(many).emit('many');
      await settle(instances, visitors);
      expect(visitors.map(({ heard }) => heard)).toEqual(visitors.map(() => [['many']]));
    });

    it('is published once for each way', async () => {
      const ways = (emit: () => unknown) => waysOf(a, emit);
      const rooms = (n: number) => Array.from({ length: n }, (_, i) => `r${i}`);
      expect({
        'to everyone': await ways(() => a.server.emit('x')),
        'in a namespace': await ways(() => a.server.of('/other').emit('x')),
        'to a room': await ways(() => a.server.to('r0').emit('x')),
        'to a room named twice': await ways(() =>
          a.server
            .to('7')
            .to('7')
            .to(7 as never)
            .emit('x'),
        ),
        'to two': await ways(() => a.server.to(rooms(2)).except('r9').emit('x')),
        'to eight': await ways(() => a.server.to(rooms(8)).emit('x')),
        'to nine': await ways(() => a.server.to(rooms(9)).emit('x')),
        'to a socket here': await ways(() => a.server.to(ann.socket.id).emit('x')),
        'by a socket here': await ways(() => ann.socket.emit('x')),
        locally: await ways(() => a.server.local.to('r0').emit('x')),
      }).toEqual({
        'to everyone': ['all'],
        'in a namespace': ['all'],
        'to a room': ['room:r0'],
        'to a room named twice': ['room:7'],
        'to two': ['room:r0', 'room:r1'],
        'to eight': rooms(8).map((room) => `room:${room}`),
        'to nine': ['all'],
        'to a socket here': [`room:${ann.socket.id}`],
        'by a socket here': [],
        locally: [],
      });
    });

    it('comes to instances with members only', async () => {
      await join([bob], 'r');
      const before = instances.map(({ bus }) => bus.counts.received);
      for (let i = 0; i < 10; i++) a.server.to('r').emit('r');
      await settle(instances, visitors); // which is three messages
      expect(instances.map(({ bus }, index) => bus.counts.received - before[index]!)).toEqual([3, 13, 3]);
    });

    it('goes straight to the instance of a socket, once it is known from its first private message', async () => {
      const { id } = bob.socket;
      const toOwner = [`room:${id}`, `instance:${b.bus.instance}`];
      const say = () => a.server.to(id).emit('private');
      const ways = [await waysOf(a, say)];
      await until('a knows', async () => (await waysOf(a, say))[0] !== 'all');
      ways.push(await waysOf(a, say), await waysOf(a, () => a.server.to(['r', id]).emit('a room, too')));
      expect(ways).toEqual([['all'], toOwner, ['room:r', ...toOwner]]);
    });

    it('goes straight to the instance of a socket at once, after it was fetched', async () => {
      const { id } = bob.socket;
      await c.server.fetchSockets();
      expect(await waysOf(c, () => c.server.to(id).emit('private'))).toEqual([
        `room:${id}`,
        `instance:${b.bus.instance}`,
      ]);
    });

    it('goes, like everything else that is done with a fetched socket, to its instance only', async () => {
      const [remote] = await a.server.in(bob.socket.id).fetchSockets();
      const owner = `instance:${b.bus.instance}`;
      bob.client.on('question', (answer: (value: string) => void) => answer('yes'));
      const joined = await waysOf(a, () => remote!.join(['r1', 'r2']));
      const rooms = () => [...bob.socket.rooms].slice(1);
      expect([joined, rooms()]).toEqual([[owner], ['r1', 'r2']]);
      const left = await waysOf(a, () => remote!.leave('r1'));
      expect([left, rooms()]).toEqual([[owner], ['r2']]);
      expect(await waysOf(a, () => remote!.emit('private'))).toEqual([`room:${bob.socket.id}`, owner]);
      let answer: unknown;
      const asked = await waysOf(a, async () => (answer = await remote!.timeout(5_000).emitWithAck('question')));
      await until('bob answers', () => answer !== undefined);
      expect([asked, answer]).toEqual([[owner], 'yes']);
      visitors.splice(1, 1);
      expect([await waysOf(a, () => remote!.disconnect()), bob.socket.connected]).toEqual([[owner], false]);
    });

    it('is of no use to an instance whose last namespace was closed: it lets go of the bus', async () => {
      await join([ann], 'r');
      const listeners = () => a.bus.listenerCount('state');
      const [before, held] = [listeners(), a.bus.wanted];
      await a.server.close();
      expect([before - listeners(), held - a.bus.wanted]).toEqual([1, 1]);
      const { ignored } = a.bus.counts;
      b.server.emit('of no use to a');
      await until('nobody takes it there', () => a.bus.counts.ignored > ignored);
    });

    // What comes from elsewhere

    it('is dropped and counted where it makes no sense, and nobody is disconnected', async () => {
      const ignored: [kind: string, ...args: unknown[]][] = [
        ['cluster', { nsp: '/', type: 7, uid: 'zz' }],
        ['sockets.dance', 'r'],
        ['', 1],
      ];
      const unreadable: [kind: string, ...args: unknown[]][] = [
        ['emit'],
        ['emit', 'disconnect'],
        ['emit', { event: 'x' }],
        ['sockets.join'],
        ['sockets.join', 'r'],
        ['sockets.join', [null]],
        ['sockets.leave', [['r']]],
        ['sockets.ask'],
        ['sockets.ask', 'soon', 'x'],
        ['sockets.ask', -1, 'x'],
        ['sockets.ask', 1e12, 'x'],
        ['sockets.ask', 100],
        ['sockets.ask', 100, 'connect'],
        ['servers.event'],
        ['servers.event', 5],
        ['servers.event', 'connect'],
        ['servers.event', 'connection', {}],
        ['servers.event', 'new_namespace', {}],
        ['servers.ask', 'connection'],
        ['rooms.sizes', 'r'],
        ['member'],
        ['member', null],
        ['member', { id: 'zz', role: 'server', version: '1' }],
        ['left'],
        ['left', { toString: 1 }],
        ['probe', { toString: 1 }],
        ['sockets.owner', 'r'],
        ['sockets.owner', [{ toString: 1 }]],
        ['sockets.answer'],
        ['sockets.answer', { toString: 1 }],
      ];
      const harmless: [kind: string, ...args: unknown[]][] = [
        ['ping'],
        ['sockets.answer', 'q', {}, 1],
        ['sockets.settle'],
        ['sockets.fetch'],
        ['rooms.stats'],
        ['rooms.list'],
      ];
      for (const { server } of instances) server.on('connection', (socket) => void socket.join('r'));
      const before = b.bus.counts;
      const counts = { ignored: before.ignored, unreadable: before.unreadable, failed: before.failed };
      for (const [kind, ...args] of [...ignored, ...unreadable, ...harmless])
        await a.bus.control.send('all', { kind, origin: 'nobody', id: 'q' }, args);
      await settle(instances, visitors);
      expect(b.bus.counts).toMatchObject({
        ignored: counts.ignored + ignored.length,
        unreadable: counts.unreadable + unreadable.length,
        failed: counts.failed,
      });
      expect(b.errors.map(({ code }) => code)).toEqual(['UNREADABLE']);
      expect(visitors.map(({ client }) => client.connected)).toEqual([true, true, true]);
      expect(await Promise.all(instances.map(({ adapter }) => adapter.serverCount()))).toEqual([3, 3, 3]);
    });

    // Namespaces

    it('stays in its namespace, though rooms of others have the same name', async () => {
      const others = await stage.visits(instances, '/other', WEBSOCKET);
      await join([...visitors, ...others], 'r');
      const emit = () => {
        a.server.of('/other').to('r').emit('other');
        b.server.to('r').emit('main');
      };
      emit();
      await settle(instances, visitors);
      await settle(instances, others, '/other');
      const before = audience([...visitors, ...others]);
      // The one namespace leaves the room; the other is still in it.
      await done(a.server.of('/other').socketsLeave('r'));
      emit();
      await settle(instances, visitors);
      await settle(instances, others, '/other');
      expect([before, audience([...visitors, ...others])]).toEqual([{ main: 'abc', other: 'def' }, { main: 'abc' }]);
    });

    it('is heard in namespaces of any name that Socket.IO can carry', async () => {
      const names = ['/ünï-🎈', '/a#*', '/a b', '/%2A{x}', '/a.b/c?d=e', `/${'n'.repeat(300)}`];
      for (const name of names) {
        const inside = await stage.visits(instances, name, WEBSOCKET);
        await join(inside.slice(1), 'r');
        a.server.of(name).to('r').emit('text', name);
        a.server.of(name).to('r').emit('bytes', Buffer.from(name));
        a.server.of(name).emit('to everyone');
        await settle(instances, inside, name);
        const said = [['text', name], ['bytes', Buffer.from(name)], ['to everyone']];
        expect(inside.map(({ heard }) => heard)).toEqual([[['to everyone']], said, said]);
      }
    });

    it('is heard in each of fifty namespaces, which share one subscription for a room of one name', async () => {
      const names = Array.from({ length: 50 }, (_, i) => `/n${i}`);
      const { wanted } = b.bus;
      for (const { server } of instances) for (const name of names) server.of(name);
      const heard: unknown[][] = names.map(() => []);
      const inside = names.map((name, i) => {
        const client = bob.client.io.socket(name, {});
        return client.onAny((...args: unknown[]) => heard[i]!.push(args));
      });
      await until('all are in', () => inside.every(({ connected }) => connected));
      await Promise.all(names.map((name) => done(b.server.of(name).socketsJoin('r'))));
      names.forEach((name, i) => a.server.of(name).to('r').emit('n', i));
      await until('all have heard', () => heard.flat().length >= 50);
      await settle(instances, visitors);
      expect({ heard, subscriptions: b.bus.wanted - wanted }).toEqual({
        heard: names.map((_, i) => [['n', i]]),
        subscriptions: 1,
      });
    });

    it('is heard in namespaces that are made when somebody comes, of the parent too', async () => {
      const parents = instances.map(({ server }) => server.of(/^\/day-\d+$/));
      const [one, two] = await Promise.all(
        ['/day-1', '/day-2'].map((name) =>
          Promise.all(instances.map((instance) => stage.enter(instance, name, WEBSOCKET))),
        ),
      );
      await join([one![1]!, two![1]!], 'r');
      a.server.of('/day-1').emit('child');
      parents[0]!.emit('parent');
      parents[2]!.to('r').emit('room of the parent', Buffer.from('x'));
      await settle(instances, one!, '/day-1');
      await settle(instances, two!, '/day-2');
      expect(audience([...one!, ...two!])).toEqual({
        child: 'abc',
        parent: 'abcdef',
        'room of the parent': 'be',
      });
    });
  });

  describe('by servers with an option', () => {
    it("comes through a parser of the application's own, in namespaces that the default one cannot carry too", async () => {
      instances = [a] = await stage.three({ ...QUIET, server: { parser: msgpack } });
      for (const name of ['/', '/a,b']) {
        const inside = await stage.visits(instances, name, { ...WEBSOCKET, parser: msgpack });
        await join(inside.slice(1), 'r');
        const said = [
          ['text', 'ü', { n: 1.5 }],
          ['bytes', Buffer.from([0, 255]), [{ x: Buffer.from('y') }]],
        ];
        for (const [event, ...args] of said)
          a.server
            .of(name)
            .to('r')
            .emit(event as string, ...args);
        await new Rooms(a.bus).of(name).to('r').emit('news', Buffer.from('z'));
        inside.forEach(({ client }, i) => client.on('ask', (bytes: Buffer, answer) => answer([bytes, i])));
        const answers = (await a.server.of(name).timeout(5_000).emitWithAck('ask', Buffer.from('?'))) as unknown[][];
        await settle(instances, inside, name);
        const all = [...said, ['news', Buffer.from('z'), expect.objectContaining({ room: 'r' })]];
        expect(inside.map(({ heard }) => heard)).toEqual([[], all, all]);
        expect(answers.sort(([, x], [, y]) => Number(x) - Number(y))).toEqual(
          inside.map((_, i) => [Buffer.from('?'), i]),
        );
      }
    });

    it('reaches a socket once its join is awaited, over a slow line too: 20 times of 20', async () => {
      const three = await stage.three({ ...QUIET, transport: slow(stage.transport()) });
      instances = [a, b] = three;
      visitors = [ann] = await stage.visits(three, '/', WEBSOCKET);
      for (let i = 0; i < 20; i++) {
        await ann.socket.join(`join-${i}`);
        b.server.to(`join-${i}`).emit('joined', i);
      }
      await settle(instances, visitors);
      expect(ann.heard).toEqual(Array.from({ length: 20 }, (_, i) => ['joined', i]));
    });

    it('reaches clients of Socket.IO 2 as what their own server says, bytes too', async () => {
      instances = [a, b] = await stage.three({ ...QUIET, server: { allowEIO3: true } });
      const { socket, sid, take } = await visitByVersion2(b);
      b.server.in(sid).socketsJoin('r');
      await until('the room is heard', () => b.adapter.isHeard('r'));
      const heard: string[][] = [];
      for (const { server } of [b, a]) {
        for (const operator of [server, server.to('r'), server.to(sid)])
          operator.emit('bytes', Buffer.from('abc'), [Buffer.alloc(200)]);
        server.emit('last');
        heard.push(await take('last'));
      }
      socket.close();
      const [here, there] = heard;
      expect(here!.slice(0, 2)).toEqual([expect.stringContaining('452-["bytes"'), '04616263']);
      expect(there).toEqual(here);
    });

    it('reaches sockets whose ids the application draws, and costs nothing when they are gone', async () => {
      instances = [a, b] = await stage.three({ ...QUIET, server: { allowEIO3: true } });
      const { wanted } = b.bus;
      b.server.engine.generateId = () => 'drawn by the application';
      const { socket, sid, take } = await visitByVersion2(b);
      await until('it is heard', () => b.adapter.isHeard(sid));
      a.server.to(sid).emit('private');
      await createEmitter(a.bus).to(sid).emit('from a worker');
      a.server.emit('last');
      expect(await take('last')).toEqual(['42["private"]', '42["from a worker"]', '42["last"]']);
      socket.close();
      await until('it is heard no more', () => b.bus.wanted === wanted);
    });

    it('is heard through an adapter that took the place of another, with its sockets and their rooms', async () => {
      const three = await stage.three(QUIET);
      instances = [a, b] = three;
      visitors = await stage.visits(three, '/', WEBSOCKET);
      await join(visitors.slice(1), 'r');
      const { wanted } = b.bus;
      b.server.adapter(createAdapter(b.bus, QUIET.adapter) as never);
      a.server.to('r').emit('as before');
      b.server.to('r').emit('from there');
      await settle(instances, visitors);
      const kept = b.bus.wanted;
      await visitors[1]!.socket.leave('r');
      a.server.to('r').emit('to the others');
      await settle(instances, visitors);
      const heard = { 'as before': 'bc', 'from there': 'bc', 'to the others': 'c' };
      expect([audience(visitors), kept - wanted, b.bus.wanted - wanted]).toEqual([heard, 0, -1]);
      expect(await a.adapter.serverCount()).toBe(3);
    });

    it('is heard again in a namespace that was closed when its last visitor left', async () => {
      instances = [a] = await stage.three({ ...QUIET, server: { cleanupEmptyChildNamespaces: true } });
      for (const { server } of instances) server.of(/^\/day-\d+$/);
      for (let round = 0; round < 3; round++) {
        visitors = await Promise.all(instances.map((instance) => stage.enter(instance, '/day-1', WEBSOCKET)));
        await join(visitors, 'r');
        a.server.of('/day-1').to('r').emit('again');
        await settle(instances, visitors, '/day-1');
        expect(audience(visitors)).toEqual({ again: 'abc' });
        for (const { client } of visitors) client.disconnect();
        await until('it is closed', () => instances.every(({ server }) => !server._nsps.has('/day-1')));
      }
      expect(instances.map(({ bus }) => bus.wanted)).toEqual([3, 3, 3]); // the control channels: no room is held
    });
  });
});
