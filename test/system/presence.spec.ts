/*
 * Who is in a room, as its members are told: over two gateways on each transport, and with one of them killed.
 */
import { until } from '@app/broadcast/testing';
import { memory, readEnvironment, transportOf } from '@app/broadcast';
import { randomBytes } from 'node:crypto';
import { startGateway, type Gateway } from '../../apps/gateway/src/gateway.js';
import { Client, endAll, runGateway, type RunningGateway } from './processes.js';

interface Presence {
  ok: boolean;
  count: number;
  members?: string[];
  complete: boolean;
}

interface Push {
  room: string;
  count: number;
  joined?: string[];
  left?: string[];
}

/** Silence after which an instance is forgotten, in ms: two heartbeats; and a tick of who looks. */
const TWO_HEARTBEATS = 11_000;
const GRACE = 5_000;

const redis = { transport: 'redis', variables: { REDIS_URL: process.env['TEST_REDIS_URL'] } };
const rabbitmq = { transport: 'rabbitmq', variables: { RABBITMQ_URL: process.env['TEST_RABBITMQ_URL'] } };

const clients: Client[] = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));
afterAll(endAll);

function client(url: string, user: string): Client {
  const made = new Client(url, user);
  clients.push(made);
  return made;
}

function pushes(member: Client): Push[] {
  return member.dataOf('room:presence') as Push[];
}

/** Who is there, as a client keeps it by what it is told; nobody knows above the threshold. */
function seen(member: Client): string | undefined {
  let users: Set<string> | undefined = new Set();
  for (const { joined, left } of pushes(member)) {
    if (!joined && !left) users = undefined;
    else users = new Set([...(users ?? []), ...(joined ?? [])].filter((user) => !left?.includes(user)));
  }
  return users && [...users].sort().join();
}

async function ask(member: Client, room: string): Promise<Presence> {
  const answer = await member.ask<Presence>('room:presence', { room });
  return { ...answer, ...(answer.members && { members: answer.members.sort() }) };
}

describe.each([{ transport: 'memory', variables: {} }, redis, rabbitmq])(
  'presence of two gateways over $transport',
  ({ transport, variables }) => {
    let gateways: Gateway[];

    beforeAll(async () => {
      const shared = transport === 'memory' ? memory() : undefined;
      const BROADCAST_PREFIX = `p${randomBytes(4).toString('hex')}.`;
      gateways = await Promise.all(
        ['gw-1', 'gw-2'].map((INSTANCE_ID) => {
          const settings = readEnvironment({
            ...variables,
            BROADCAST_TRANSPORT: transport,
            BROADCAST_PREFIX,
            INSTANCE_ID,
            PORT: '0',
            HOST: '127.0.0.1',
            ROOM_PROFILES: '{"small":{"presence":{"threshold":2}}}',
            LOG_LEVEL: 'fatal',
          });
          return startGateway(settings, shared ?? transportOf(settings));
        }),
      );
    }, 60_000);
    afterAll(() => Promise.all(gateways.map(({ app }) => app.close())));

    const at = (gateway: number, user: string) => client(gateways[gateway]!.url, user);

    it('tells who joins and who leaves, and says who is there', async () => {
      const ann = await at(0, 'ann').join('r');
      const bob = await at(1, 'bob').join('r');
      await until('both are seen', () => seen(ann) === 'ann,bob' && pushes(bob).at(-1)?.count === 2);
      const all = { ok: true, count: 2, members: ['ann', 'bob'], complete: true };
      expect([await ask(ann, 'r'), await ask(bob, 'r')]).toEqual([all, all]);
      await bob.ask('room:leave', { room: 'r' });
      await until('bob is gone', () => seen(ann) === 'ann');
      expect(pushes(ann).at(-1)).toEqual({ room: 'r', count: 1, left: ['bob'] });
      expect(await bob.ask('room:presence', { room: 'r' })).toMatchObject({
        ok: false,
        error: { code: 'NOT_IN_ROOM' },
      });
    });

    it('takes three tabs of a user for one member', async () => {
      const tabs = [at(0, 'ann'), at(0, 'ann'), at(1, 'ann')];
      const bob = await at(1, 'bob').join('tabs');
      for (const tab of tabs) await tab.join('tabs');
      await until('ann is seen', () => seen(bob) === 'ann,bob');
      expect(await ask(bob, 'tabs')).toEqual({ ok: true, count: 2, members: ['ann', 'bob'], complete: true });
      for (const tab of tabs.slice(0, 2)) await tab.ask('room:leave', { room: 'tabs' });
      await at(0, 'cid').join('tabs');
      await until('cid is seen', () => seen(bob) === 'ann,bob,cid');
      expect(pushes(bob).flatMap(({ left = [] }) => left)).toEqual([]);
    });

    it('says nothing of who is disconnected and is back within five seconds, on another instance', async () => {
      const ann = await at(0, 'ann').join('back');
      const bob = await at(1, 'bob').join('back');
      await until('both are seen', () => pushes(bob).at(-1)?.count === 2 || seen(bob) === 'ann,bob');
      const before = pushes(bob).length;
      ann.socket.io.engine.close();
      ann.close();
      const again = await at(1, 'ann').join('back');
      // What was to be told of it would have been by then.
      await new Promise((resolve) => setTimeout(resolve, GRACE + 1_500));
      expect(pushes(bob).slice(before)).toEqual([]);
      again.close();
      await until('ann is gone', () => pushes(bob).at(-1)?.left?.[0] === 'ann', 10_000);
      expect(await ask(bob, 'back')).toEqual({ ok: true, count: 1, members: ['bob'], complete: true });
    });

    it('tells only how many there are above the threshold, and everyone again below it', async () => {
      const [ann, bob] = [await at(0, 'ann').join('small:1'), await at(1, 'bob').join('small:1')];
      await until('both are named', () => seen(ann) === 'ann,bob');
      const crowd = await Promise.all(Array.from({ length: 30 }, (_, i) => at(i % 2, `user-${i}`).join('small:1')));
      await until('all are counted', () => pushes(ann).at(-1)?.count === 32);
      expect(pushes(ann).at(-1)).toEqual({ room: 'small:1', count: 32 });
      expect(await ask(bob, 'small:1')).toEqual({ ok: true, count: 32, complete: true });
      expect(pushes(ann).length).toBeLessThan(15);
      await Promise.all(crowd.map((member) => member.ask('room:leave', { room: 'small:1' })));
      await until('both are named again', () => seen(ann) === 'ann,bob');
    });
  },
);

describe.each([redis, rabbitmq])('presence over $transport, where a gateway dies', ({ transport, variables }) => {
  let gateways: RunningGateway[];

  beforeEach(async () => {
    const BROADCAST_PREFIX = `k${randomBytes(4).toString('hex')}.`;
    const environment = { ...variables, BROADCAST_TRANSPORT: transport, BROADCAST_PREFIX };
    gateways = await Promise.all(['gw-1', 'gw-2'].map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })));
  }, 60_000);
  afterEach(() => Promise.all(gateways.map((gateway) => gateway.end('SIGKILL'))));

  it('lets its members go within two heartbeats, but not those who come back elsewhere', async () => {
    const [alive, dead] = gateways as [RunningGateway, RunningGateway];
    const ann = await client(alive.url, 'ann').join('r');
    const [bob, cid] = await Promise.all(['bob', 'cid'].map((user) => client(dead.url, user).join('r')));
    await until('all are seen', () => seen(ann) === 'ann,bob,cid');
    dead.child.kill('SIGKILL');
    const killed = performance.now();
    for (const member of [bob!, cid!]) member.close();
    await client(alive.url, 'bob').join('r');
    const during = await ask(ann, 'r');
    expect(during.members).toEqual(['ann', 'bob', 'cid']);
    await until('cid is gone', () => seen(ann) === 'ann,bob', TWO_HEARTBEATS + GRACE);
    expect(performance.now() - killed).toBeLessThan(TWO_HEARTBEATS + 1_500);
    expect(pushes(ann).flatMap(({ left = [] }) => left)).toEqual(['cid']);
    expect(await ask(ann, 'r')).toEqual({ ok: true, count: 2, members: ['ann', 'bob'], complete: true });
  }, 60_000);

  it('answers with what there is while one is frozen', async () => {
    const [alive, frozen] = gateways as [RunningGateway, RunningGateway];
    const bob = await client(frozen.url, 'bob').join('cold');
    frozen.child.kill('SIGSTOP');
    try {
      const response = await fetch(`${alive.url}/v1/rooms/cold/members`);
      expect(await response.json()).toEqual({ room: 'cold', count: 0, members: [], complete: false });
      const ann = await client(alive.url, 'ann').join('cold');
      expect(await ask(ann, 'cold')).toEqual({ ok: true, count: 1, members: ['ann'], complete: false });
      frozen.child.kill('SIGCONT');
      await until('bob is found', () => seen(ann) === 'ann,bob', 15_000);
      expect((await ask(ann, 'cold')).complete).toBe(true);
    } finally {
      frozen.child.kill('SIGCONT');
      bob.close();
    }
  }, 60_000);
});
