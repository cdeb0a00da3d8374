/*
 * The life of an adapter: it takes over from another one under connected sockets, it closes, ten thousand times over,
 * and leaves nothing behind.
 */
import { BroadcastAdapter, createAdapter, type AdapterOptions } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ServerOptions } from 'socket.io';
import { transports } from '../transports.js';
import { acquainted, done, eventsOf, settle, Stage, type Instance, type Visitor } from './stage.js';

const UNHURRIED: AdapterOptions = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000, requestsTimeout: 60_000 };
const MINUTE = 60_000;
/** Socket.IO's own adapter, which knows of no other server. */
const IN_MEMORY = { adapter: undefined as unknown as ServerOptions['adapter'] };

/** Gives the server another adapter, under whatever is connected. */
function swap(instance: Instance, factory = createAdapter(instance.bus, UNHURRIED)): void {
  instance.server.adapter(factory as never);
  instance.adapter = instance.server.of('/').adapter as BroadcastAdapter;
}

describe.each(transports)('an adapter over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  describe('that takes over on a live server', () => {
    /** A server with two sockets in rooms, whose adapter is not ours yet, beside one with one socket. */
    async function withRooms(): Promise<{ a: Instance; b: Instance; visitors: [Visitor, Visitor, Visitor] }> {
      const a = await stage.instance({ server: IN_MEMORY });
      const b = await stage.instance({ adapter: UNHURRIED });
      const visitors: [Visitor, Visitor, Visitor] = [await stage.visit(a), await stage.visit(a), await stage.visit(b)];
      const [one, two, there] = visitors;
      for (const { socket } of [one, there]) await socket.join(['r', 's']);
      await two.socket.join(7 as never);
      return { a, b, visitors };
    }

    it('does not hear again what the one before it has just said', async () => {
      const a = await stage.instance({ adapter: UNHURRIED });
      const visitor = await stage.visit(a);
      await visitor.socket.join('r');
      for (let i = 0; i < 10; i++) {
        a.server.to('r').emit('said', i);
        swap(a);
      }
      await settle([a], [visitor]);
      expect(visitor.heard.map(([, i]) => i)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    /** Whether everything still goes to everyone once, from either server. */
    async function works([a, b]: [Instance, Instance], visitors: [Visitor, Visitor, Visitor]): Promise<void> {
      const [one, two, there] = visitors;
      await acquainted([a, b]);
      await until('the rooms are heard', () => ['r', 's', '7'].every((room) => a.adapter.isHeard(room)));
      await done(two.socket.join('later'));
      for (const { server } of [a, b]) {
        server.emit('all');
        server.to('r').emit('r');
        server.to(['r', 's']).emit('both');
        server.to('7').emit('7');
        server.to('later').emit('later');
        server.to(one.socket.id).emit('one');
      }
      await settle([a, b], visitors);
      expect(eventsOf(visitors)).toEqual([
        ['all', 'all', 'both', 'both', 'one', 'one', 'r', 'r'],
        ['7', '7', 'all', 'all', 'later', 'later'],
        ['all', 'all', 'both', 'both', 'r', 'r'],
      ]);
      const sockets = await b.server.fetchSockets();
      expect(sockets.map(({ id, rooms }) => [id, rooms.size]).sort()).toEqual(
        [
          [one.socket.id, 3],
          [two.socket.id, 3],
          [there.socket.id, 3],
        ].sort(),
      );
      await two.socket.leave('later');
      expect(await b.adapter.countSockets('later')).toBe(0);
    }

    it('from the one of Socket.IO keeps the sockets in their rooms, and everyone hears each other', async () => {
      const { a, b, visitors } = await withRooms();
      const other = await stage.visit(a, '/x');
      await other.socket.join('r');
      swap(a);
      expect(visitors.map(({ socket }) => [...socket.rooms].length)).toEqual([3, 2, 3]);
      await works([a, b], visitors);
      b.server.of('/x').to('r').emit('x');
      await until('the other namespace hears', () => other.heard.length > 0);
      visitors[0].client.disconnect();
      await until('it has left its rooms', async () => (await b.adapter.countSockets('r')) === 1);
      expect(await b.adapter.countSockets('s')).toBe(1);
    });

    it('from one of ours, again and again, leaves the old one nothing', async () => {
      const { a, b, visitors } = await withRooms();
      swap(a);
      await acquainted([a, b]);
      const [wanted, listeners] = [a.bus.wanted, a.bus.listenerCount('state')];
      for (let i = 0; i < 3; i++) swap(a);
      await works([a, b], visitors);
      const { ignored } = b.bus.counts;
      await a.server.fetchSockets();
      expect([a.bus.wanted, a.bus.listenerCount('state')]).toEqual([wanted, listeners]);
      expect(b.bus.counts.ignored).toBe(ignored);
    });

    it('from one that the same call has made works, too', async () => {
      const { a, b, visitors } = await withRooms();
      const factory = createAdapter(a.bus, UNHURRIED);
      swap(a, factory);
      swap(a, factory);
      await works([a, b], visitors);
    });

    it.each([['the one of Socket.IO'], ['one of ours']])(
      'from %s takes in who was about to come in',
      async (before) => {
        const { a, b } = await withRooms();
        if (before === 'one of ours') swap(a);
        let enter!: () => void;
        const entering = new Promise<void>((resolve) => {
          a.server.use((_socket, next) => {
            enter = next;
            resolve();
          });
        });
        const visiting = stage.visit(a);
        await entering;
        swap(a);
        enter();
        const late = await visiting;
        await late.socket.join('late');
        await acquainted([a, b]);
        for (const { server } of [a, b]) {
          server.emit('all');
          server.to('late').emit('room');
          server.to(late.socket.id).emit('one');
        }
        await settle([a, b], [late]);
        expect(eventsOf([late])).toEqual([['all', 'all', 'one', 'one', 'room', 'room']]);
      },
    );

    it('lets questions to sockets that are open be answered', async () => {
      const { a, visitors } = await withRooms();
      const [one, two] = visitors;
      one.client.on('ask', (answer: (value: string) => void) => answer('one'));
      const asked = new Promise<(value: string) => void>((resolve) => two.client.on('ask', resolve));
      const asking = a.server.local.timeout(MINUTE).emitWithAck('ask');
      const answer = await asked;
      swap(a);
      answer('two');
      expect(await asking).toEqual(expect.arrayContaining(['one', 'two']));
    });
  });

  describe('that closes', () => {
    it.each([
      ['before its bus', (a: Instance) => [() => a.server.close(), () => a.bus.close()]],
      ['after its bus', (a: Instance) => [() => a.bus.close(), () => a.server.close()]],
      ['together with its bus', (a: Instance) => [() => Promise.all([a.server.close(), a.bus.close()])]],
      ['twice', (a: Instance) => [() => a.server.close(), () => a.server.close(), () => a.bus.close()]],
    ])('%s ends what is open, and rejects nothing', async (_order, ends) => {
      const [a, b] = await Promise.all([
        stage.instance({ adapter: UNHURRIED }),
        stage.instance({ adapter: UNHURRIED }),
      ]);
      await acquainted([a, b]);
      const [here, there] = await stage.visits([a, b] as const);
      await here.socket.join(['r', 's']);
      b.server.on('ask', () => undefined);
      there.client.on('ask', (answer: (value: string) => void) => answer('there'));
      const askedHere = new Promise((resolve) => here.client.on('ask', resolve));
      const askingClients = b.server.timeout(MINUTE).emitWithAck('ask');
      const asking = [
        a.server.serverSideEmitWithAck('ask').catch(() => undefined),
        done(a.server.socketsJoin('t')),
        a.adapter.allRooms(),
      ];
      await until('b is asked', () => a.adapter.requests.size === 1);
      await askedHere;
      for (const end of ends(a)) await end();
      await Promise.all(asking);
      expect(await askingClients).toEqual(['there']);
      expect([a.bus.wanted, a.adapter.requests.size, a.adapter.ackRequests.size]).toEqual([0, 0, 0]);
    });

    it('lets the application go on as well as it can when the bus has closed first', async () => {
      const a = await stage.instance({ adapter: UNHURRIED });
      const visitor = await stage.visit(a);
      await a.bus.close();
      await visitor.socket.join('r');
      a.server.to('r').emit('still here');
      await until('it arrives', () => visitor.heard.length === 1);
      expect(await a.server.fetchSockets()).toHaveLength(1);
      expect(await a.adapter.countSockets('r')).toBe(1);
      expect(a.errors).toEqual([]);
    });

    it('leaves with its bus, says so, and is silent from then on', async () => {
      const [a, b, c] = await stage.three({ adapter: UNHURRIED });
      const brief = await stage.instance({ adapter: { heartbeatInterval: 20, heartbeatTimeout: MINUTE } });
      await acquainted([a, b, c, brief]);
      await Promise.all([a.bus.close(), brief.bus.close()]);
      await acquainted([b, c]);
      expect(await b.adapter.serverCount()).toBe(2);
      const { published } = brief.bus.counts;
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(brief.bus.counts.published).toBe(published);
      expect(await a.adapter.serverCount()).toBe(1);
    });

    it('leaves its rooms to the namespaces that are in them, too', async () => {
      const [a, b] = await Promise.all([
        stage.instance({ adapter: UNHURRIED }),
        stage.instance({ adapter: UNHURRIED }),
      ]);
      await acquainted([a, b]);
      const visitors = [await stage.visit(a), await stage.visit(a, '/x')];
      for (const { socket } of visitors) await socket.join('r');
      await done(visitors[1]!.socket.join('x'));
      const { wanted } = a.bus;
      (a.server.of('/x').adapter as BroadcastAdapter).close();
      expect(a.bus.wanted).toBe(wanted - 1);
      b.server.to('r').emit('still here');
      await until('it arrives', () => visitors[0]!.heard.length === 1);
    });

    it('hears nothing any more: not on the bus, not of any kind, not in a room', async () => {
      const a = await stage.instance({ adapter: UNHURRIED });
      const visitor = await stage.visit(a);
      await visitor.socket.join('r');
      await a.server.close();
      expect([a.bus.listenerCount('state'), a.bus.wanted]).toEqual([0, 3]);
      const kinds = [
        ...['member', 'left', 'ping', 'emit', 'sockets.answer', 'sockets.owner', 'sockets.join', 'sockets.leave'],
        ...['sockets.disconnect', 'sockets.settle', 'sockets.fetch', 'sockets.ask', 'servers.event', 'servers.ask'],
        ...['rooms.sizes', 'rooms.stats', 'rooms.list'],
      ];
      const { ignored } = a.bus.counts;
      for (const kind of kinds) await a.bus.control.send({ instance: a.bus.instance }, { kind }, ['x']);
      await until('all are ignored', () => a.bus.counts.ignored >= ignored + kinds.length);
      expect([a.bus.counts.unreadable, a.bus.counts.failed]).toEqual([0, 0]);
    });
  });

  it('is gone with its namespace: twenty thousand leave nothing on the heap', async () => {
    const a = await stage.instance({ adapter: UNHURRIED, server: { cleanupEmptyChildNamespaces: true } });
    const { client } = await stage.visit(a);
    const namespaces = () => (a.server as unknown as { _nsps: Map<string, unknown> })._nsps.size;
    let opened = 0;
    a.server.of(/^\/n/).on('connection', (socket) => {
      void socket.join(['shared', `only in ${socket.nsp.name}`]);
      opened++;
    });
    const { wanted } = a.bus;
    // The client's own sockets would stay: it only says what one would say for them.
    const openAndClose = async (from: number, count: number) => {
      const names = Array.from({ length: count }, (_, i) => `/n${from + i}`);
      for (const name of names) client.io.engine.write(`0${name},`);
      await until('all are open', () => opened === from + count);
      expect(namespaces()).toBe(1 + count);
      for (const name of names) client.io.engine.write(`1${name},`);
      await until('all are closed', () => namespaces() === 1);
    };
    const fiveThousand = async (from: number) => {
      for (let i = 0; i < 20; i++) await openAndClose(from + 250 * i, 250);
      expect([a.bus.wanted, await a.adapter.serverCount()]).toEqual([wanted, 1]);
      return heap();
    };
    const heaps: number[] = [];
    for (let i = 0; i < 4; i++) heaps.push(await fiveThousand(5_000 * i));
    // What leaks does so each time. A hundred bytes for each would be an entry in some map.
    const growth = heaps.slice(1).map((each, i) => each - heaps[i]!);
    expect(Math.min(...growth)).toBeLessThan(5_000 * 100);
    expect([a.bus.listenerCount('state'), a.bus.counts.dropped]).toEqual([1, 0]);
  }, 120_000);
});

/** Bytes in use when collecting has come to an end: what lingers at the broker goes a moment later. */
async function heap(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  let used = Infinity;
  await until('the heap has settled', async () => {
    const before = used;
    await new Promise((resolve) => setTimeout(resolve, 150));
    collect();
    used = process.memoryUsage().heapUsed;
    return Math.abs(before - used) < 50_000;
  });
  return used;
}
