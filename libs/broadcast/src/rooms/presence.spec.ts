import { until } from '../testing/index.js';
import type { PresenceChange } from './attendance.js';
import { Presence, type PresenceListener, type PresenceOptions } from './presence.js';

/** Servers of one process: what is told arrives in the next turn, unless it is lost on the way. */
class Street {
  readonly servers = new Map<string, Server>();
  /** Messages that were told. */
  told = 0;
  /** Loses what this server tells. */
  deafTo?: string;

  open(name: string, options: Omit<PresenceOptions, 'open' | 'push'> = {}): Server {
    const server = new Server(name, this, { batch: 10, pace: 60, grace: 150, timeout: 100, ...options });
    for (const other of this.servers.values()) other.listener.joined(name);
    this.servers.set(name, server);
    return server;
  }

  end(name: string, how: 'closed' | 'silent'): void {
    this.servers.get(name)!.presence.close();
    this.servers.delete(name);
    for (const other of this.servers.values()) other.listener.left(name, how);
  }

  close(): void {
    for (const { presence } of this.servers.values()) presence.close();
    this.servers.clear();
  }
}

class Server {
  readonly presence: Presence;
  readonly pushes: (PresenceChange & { room: string })[] = [];
  listener!: PresenceListener;
  /** Answers nothing any more. */
  frozen = false;

  constructor(name: string, street: Street, options: Omit<PresenceOptions, 'open' | 'push'>) {
    const others = () => [...street.servers.keys()].filter((other) => other !== name);
    this.presence = new Presence({
      ...options,
      push: (room, change) => this.pushes.push({ room, ...change }),
      open: (listener) => {
        this.listener = listener;
        return {
          get others() {
            return others();
          },
          has: (server) => street.servers.has(server),
          tell: async (value) => {
            street.told++;
            const copy: unknown = JSON.parse(JSON.stringify(value));
            if (street.deafTo === name) return;
            setImmediate(() => others().forEach((other) => street.servers.get(other)?.listener.told(copy, name)));
          },
          ask: async (value, { timeout, server }) => {
            const asked = server === undefined ? others() : [server];
            const answers = new Map<string, unknown>();
            for (const other of asked) {
              const there = street.servers.get(other);
              if (!there || there.frozen) await new Promise((resolve) => setTimeout(resolve, timeout));
              else answers.set(other, JSON.parse(JSON.stringify(there.listener.asked(value))));
            }
            return { answers, missing: asked.filter((other) => !answers.has(other)) };
          },
          close: () => undefined,
        };
      },
    });
  }

  /** Who is in the room by what was pushed here, as a client keeps it. */
  seen(room: string): string[] | undefined {
    let members: Set<string> | undefined = new Set();
    for (const { joined, left } of this.pushes.filter((push) => push.room === room)) {
      if (!joined && !left) members = undefined;
      else members = new Set([...(members ?? []), ...(joined ?? [])].filter((user) => !left?.includes(user)));
    }
    return members && [...members].sort();
  }
}

describe('presence', () => {
  let street: Street;
  beforeEach(() => (street = new Street()));
  afterEach(() => street.close());

  const members = async (server: Server, room = 'r') => (await server.presence.of(room)).members?.sort();

  it('knows who is in a room on all servers, and tells those in it who comes and goes', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    a.presence.enter('r', 'ann', 's1');
    await a.presence.of('r');
    b.presence.enter('r', 'bob', 's2');
    await until('bob is seen', () => a.seen('r')?.length === 2);
    // Who was there before is in the answer, not among those who join.
    expect(await members(b)).toEqual(['ann', 'bob']);
    expect(await a.presence.of('r')).toEqual({ count: 2, members: ['ann', 'bob'], complete: true });
    b.presence.leave('r', 'bob', 's2', false);
    await until('bob is gone', () => a.seen('r')?.join() === 'ann');
    expect(await members(b)).toEqual(['ann']);
  }, 10_000);

  it('takes a user with three sockets on two servers for one member', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    a.presence.enter('r', 'ann', 's1');
    a.presence.enter('r', 'ann', 's2');
    b.presence.enter('r', 'ann', 's3');
    expect((await a.presence.of('r')).count).toBe(1);
    a.presence.leave('r', 'ann', 's1', false);
    a.presence.leave('r', 'ann', 's2', false);
    b.presence.enter('r', 'bob', 's4');
    await until('bob is seen', () => b.seen('r')?.includes('bob') ?? false);
    expect(b.seen('r')).toEqual(['ann', 'bob']);
    expect(b.pushes.some(({ left }) => left)).toBe(false);
  });

  it('says nothing of who comes back in time, on whichever server', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    await b.presence.of('r');
    a.presence.enter('r', 'ann', 's1');
    await until('ann is seen', () => b.seen('r')?.includes('ann') ?? false);
    const before = b.pushes.length;
    a.presence.leave('r', 'ann', 's1', true);
    a.presence.enter('r', 'cid', 's3');
    await until('cid is seen', () => b.seen('r')?.includes('cid') ?? false);
    b.presence.enter('r', 'ann', 's2');
    await until(
      'the first ann has expired',
      async () => !(a.presence.dismiss('r', 'ann') ?? []).length && (await members(a))?.join() === 'ann,bob,cid',
    );
    expect(b.pushes.slice(before).flatMap(({ joined = [], left = [] }) => [...joined, ...left])).toEqual(['cid']);
  });

  it('tells that somebody has left who does not come back', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    await b.presence.of('r');
    a.presence.enter('r', 'ann', 's1');
    await until('ann is seen', () => b.seen('r')?.includes('ann') ?? false);
    a.presence.leave('r', 'ann', 's1', true);
    await until('ann is gone', () => b.seen('r')?.join() === 'bob');
  });

  it('puts a thousand joins into few messages, and above the threshold tells how many there are, paced', async () => {
    const [a, b] = [street.open('a', { pace: 200 }), street.open('b', { pace: 200 })];
    b.presence.enter('r', 'bob', 's0');
    await until('bob is seen', () => b.seen('r')?.length === 1);
    const told = street.told;
    for (let i = 0; i < 1_000; i++) a.presence.enter('r', `user-${i}`, `socket-${i}`);
    await until('the number is known', () => b.pushes.at(-1)?.count === 1_001);
    expect(b.pushes.at(-1)).toEqual({ room: 'r', count: 1_001 });
    expect(street.told - told).toBeLessThan(5);
    expect(b.pushes.length).toBeLessThan(5);
    expect(await b.presence.of('r')).toEqual({ count: 1_001, complete: true });
    for (let i = 0; i < 950; i++) a.presence.leave('r', `user-${i}`, `socket-${i}`, false);
    await until('everyone is named again', () => b.seen('r')?.length === 51);
    expect(b.pushes.length).toBeLessThan(8);
  });

  it('paces the number of a large room that changes all the time', async () => {
    const [a, b] = [
      street.open('a', { threshold: () => 3, pace: 100 }),
      street.open('b', { threshold: () => 3, pace: 100 }),
    ];
    b.presence.enter('r', 'bob', 's0');
    const began = performance.now();
    for (let i = 0; i < 60; i++) {
      a.presence.enter('r', `user-${i}`, `s-${i}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until('all are counted', () => b.pushes.at(-1)?.count === 61);
    const most = (performance.now() - began) / 100 + 6;
    for (const { pushes } of [a, b]) expect(pushes.filter(({ joined }) => !joined).length).toBeLessThan(most);
  });

  it('finds that a message was lost', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    await b.presence.of('r');
    a.presence.enter('r', 'ann', 's1');
    await until('ann is seen', () => b.seen('r')?.includes('ann') ?? false);
    street.deafTo = 'a';
    a.presence.leave('r', 'ann', 's1', false);
    const { told } = street;
    await until('it was told', () => street.told > told);
    street.deafTo = undefined;
    a.presence.enter('other', 'cid', 's2');
    await until('ann is gone', () => b.seen('r')?.join() === 'bob');
  });

  it('finds it without another change, too, where the link was away', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    await b.presence.of('r');
    a.presence.enter('r', 'ann', 's1');
    await until('ann is seen', () => b.seen('r')?.includes('ann') ?? false);
    street.deafTo = 'a';
    a.presence.leave('r', 'ann', 's1', false);
    const { told } = street;
    await until('it was told', () => street.told > told);
    street.deafTo = undefined;
    a.presence.resync();
    await until('ann is gone', () => b.seen('r')?.join() === 'bob');
  });

  it('says that it is not complete while a server is silent, and finds the rest when it speaks', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    b.frozen = true;
    a.presence.enter('r', 'ann', 's1');
    expect(await a.presence.of('r')).toEqual({ count: 1, members: ['ann'], complete: false });
    b.frozen = false;
    await until('bob is found', async () => (await members(a))?.join() === 'ann,bob');
    expect((await a.presence.of('r')).complete).toBe(true);
  });

  it('lets the members of a dead server go, at once where it was silent, after a while where it said goodbye', async () => {
    const [a] = [street.open('a')];
    a.presence.enter('r', 'ann', 's1');
    await a.presence.of('r');
    for (const how of ['silent', 'closed'] as const) {
      const b = street.open('b');
      b.presence.enter('r', 'bob', 's0');
      await until('bob is seen', () => a.seen('r')?.includes('bob') ?? false);
      street.end('b', how);
      expect((await members(a))?.join()).toBe(how === 'silent' ? 'ann' : 'ann,bob');
      await until('bob is gone', () => a.seen('r')?.join() === 'ann');
    }
  });

  it('answers for rooms that nobody here is in', async () => {
    const [a, b] = [street.open('a'), street.open('b')];
    b.presence.enter('r', 'bob', 's0');
    expect(await a.presence.of('r')).toEqual({ count: 1, members: ['bob'], complete: true });
    expect(await a.presence.of('nobody')).toEqual({ count: 0, members: [], complete: true });
  });

  it.each([[[]], [[1]], ['x'], [[1, [['r']]]], [[1, [['r', -1]]]], [[1, [['r', 1, [5]]]]]])('refuses %j', (value) => {
    const [a] = [street.open('a'), street.open('b')];
    expect(() => a.listener.told(value, 'b')).toThrow('it does not say who is in which room');
  });
});
