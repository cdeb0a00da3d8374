/*
 * Rooms with history, as clients have them: positions, resuming on any instance, reading back, and what happens to all of
 * it when gateways and brokers die.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { startRabbitmq } from '../brokers/rabbitmq.js';
import { startRedis } from '../brokers/redis.js';
import { Client, endAll, runGateway, type Answer, type RunningGateway } from './processes.js';

const memory = { transport: 'memory', variable: 'NONE', shared: '', gateways: 1 };
const brokers = [
  {
    transport: 'redis',
    variable: 'REDIS_URL',
    shared: process.env['TEST_REDIS_URL']!,
    gateways: 2,
    start: () => startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] }),
  },
  {
    transport: 'rabbitmq',
    variable: 'RABBITMQ_URL',
    shared: process.env['TEST_RABBITMQ_URL']!,
    gateways: 2,
    start: () => startRabbitmq(),
  },
];

afterAll(endAll);

/** Comes back where it was, with what it has missed put where it belongs. */
class Returning {
  client!: Client;
  readonly ids: string[] = [];
  last?: { pos?: string; id?: string };

  constructor(readonly room: string) {}

  /** @returns the answer of the join */
  enter(url: string): Promise<Answer> {
    const client = new Client(url);
    this.client = client;
    client.socket.on('chat', (_data: unknown, meta: { id: string; pos: string }) => this.#take(meta));
    const request = { room: this.room, ...(this.last && { since: this.last }) };
    // In the callback: what comes right after the answer may be handled before a promise of it is.
    return new Promise((resolve) => {
      client.socket.emit('room:join', request, (answer: Answer) => {
        for (const message of answer.missed ?? []) this.#take(message);
        if (this.last === undefined || !answer.recovered) this.last = { pos: answer.pos, id: answer.id };
        resolve(answer);
      });
    });
  }

  leave(): void {
    this.client.close();
  }

  #take({ id, pos }: { id: string; pos: string }): void {
    this.ids.push(id);
    this.last = { pos, id };
  }
}

describe.each([memory, ...brokers])(
  'rooms with history over $transport',
  ({ transport, variable, shared, gateways: n }) => {
    const BROADCAST_PREFIX = `h${randomBytes(4).toString('hex')}.`;
    const environment = { BROADCAST_TRANSPORT: transport, [variable]: shared, BROADCAST_PREFIX, HISTORY_SIZE: '500' };
    const clients: Client[] = [];
    let gateways: RunningGateway[];

    beforeAll(async () => {
      const names = ['gw-1', 'gw-2'].slice(0, n);
      gateways = await Promise.all(names.map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })));
    });
    afterEach(() => clients.splice(0).forEach((client) => client.close()));
    afterAll(() => Promise.all(gateways.map((gateway) => gateway.end('SIGTERM'))));

    const url = (gateway: number) => gateways[gateway % gateways.length]!.url;

    function client(gateway: number, user?: string): Client {
      const made = new Client(url(gateway), user);
      clients.push(made);
      return made;
    }

    it('give every message a place, the same for everyone', async () => {
      const [ann, bob] = await Promise.all([client(0, 'ann').join('p'), client(1, 'bob').join('p')]);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ann.say('p', i)));
      await until('both have heard everything', () => ann.chats.length === 100 && bob.chats.length === 100);
      const places = answers.map(({ id, pos }) => ({ id, pos }));
      expect(new Set(places.map(({ pos }) => pos)).size).toBe(100);
      for (const { heard } of [ann, bob])
        expect(heard.map(({ meta }) => ({ id: meta!.id, pos: meta!.pos }))).toEqual(places);
    });

    it('take the same id for the same message, on any instance, in the same place', async () => {
      const [ann, bob] = await Promise.all([client(0).join('same'), client(1).join('same')]);
      const first = await ann.say('same', 'one', 'id-1');
      expect(first).toEqual({ ok: true, id: 'id-1', pos: expect.any(String) as string });
      expect(await ann.say('same', 'again', 'id-1')).toEqual(first);
      expect(await bob.say('same', 'from elsewhere', 'id-1')).toEqual(first);
      const [one, two] = await Promise.all([bob.say('same', 'two', 'id-2'), ann.say('same', 'two', 'id-2')]);
      expect(one).toEqual(two);
      await ann.say('same', 'last');
      await until('the last arrives', () => ann.chats.includes('last') && bob.chats.includes('last'));
      for (const { chats } of [ann, bob]) expect(chats).toEqual(['one', 'two', 'last']);
      const { messages } = await ann.ask('room:history', { room: 'same' });
      expect(messages!.map(({ data }) => data)).toEqual(['one', 'two', 'last']);
    });

    it('give whoever comes back what was missed, on any instance', async () => {
      const ann = await client(0, 'ann').join('back');
      const bob = new Returning('back');
      await bob.enter(url(0));
      const said: (string | undefined)[] = [];
      for (const data of ['a', 'b']) said.push((await ann.say('back', data)).id);
      await until('bob has heard', () => bob.ids.length === 2);
      for (const gateway of [1, 0, 1]) {
        bob.leave();
        for (const data of [1, 2, 3]) said.push((await ann.say('back', data)).id);
        const answer = await bob.enter(url(gateway));
        expect(answer).toMatchObject({
          ok: true,
          recovered: true,
          missed: [{ data: 1, from: 'ann' }, { data: 2 }, { data: 3 }],
        });
        said.push((await ann.say('back', 'live')).id);
        await until('bob has heard', () => bob.ids.length === said.length);
      }
      bob.leave();
      expect(bob.ids).toEqual(said);
    });

    it('resume right after the first join, and in a quiet room, with nothing missed', async () => {
      const bob = new Returning('quiet');
      const first = await bob.enter(url(0));
      expect(first).toMatchObject({ ok: true, room: 'quiet', count: 1, pos: expect.any(String) as string });
      bob.leave();
      expect(await bob.enter(url(1))).toMatchObject({ recovered: true, missed: [] });
      bob.leave();
      const ann = await client(0).join('quiet');
      await ann.say('quiet', 'first');
      expect(await bob.enter(url(1))).toMatchObject({ recovered: true, missed: [{ data: 'first' }] });
      bob.leave();
      expect(await bob.enter(url(0))).toMatchObject({ recovered: true, missed: [] });
      bob.leave();
    });

    it('are joined and left in the order in which a client asks, also while a join is under way', async () => {
      const ann = client(0);
      const [joined, left, outside] = await Promise.all([
        ann.ask('room:join', { room: 'in-out' }),
        ann.ask('room:leave', { room: 'in-out' }),
      ]).then(async (answers) => [...answers, await ann.say('in-out', 'x')]);
      expect([joined, left]).toMatchObject([{ ok: true, count: 1 }, { ok: true }]);
      expect(outside).toMatchObject({ ok: false, error: { code: 'NOT_IN_ROOM' } });
      const twice = await Promise.all([1, 2].map(() => ann.ask('room:join', { room: 'twice' })));
      expect(twice).toMatchObject([1, 2].map(() => ({ ok: true, count: 1 })));
      await ann.say('twice', 'once');
      await until('it is heard', () => ann.chats.length > 0);
      expect(ann.chats).toEqual(['once']);
    });

    it('say so when it cannot be promised that nothing is missed', async () => {
      const ann = await client(0).join('lost');
      const { id, pos } = await ann.say('lost', 'seen');
      const ask = (since: object) => client(1).ask('room:join', { room: 'lost', since });
      expect(await ask({ pos, id })).toMatchObject({ recovered: true, missed: [] });
      for (const since of [
        { pos, id: 'other' },
        { pos },
        { pos: 'elsewhere.1', id },
        { pos: `${pos!.split('.')[0]}.999999`, id },
      ]) {
        expect(await ask(since)).toMatchObject({
          ok: true,
          recovered: false,
          missed: [],
          pos: expect.any(String) as string,
        });
      }
      for (let i = 0; i < 1_100; i += 100)
        await Promise.all(Array.from({ length: 100 }, (_, j) => ann.say('lost', i + j)));
      expect(await ask({ pos, id })).toMatchObject({ recovered: false, missed: [] });
    });

    it('can be read back, forwards and backwards', async () => {
      const ann = await client(0).join('read');
      const said = await Promise.all(Array.from({ length: 10 }, (_, i) => ann.say('read', i)));
      const bob = await client(1).join('read');
      const read = async (request: object) => {
        const { messages, complete } = await bob.ask('room:history', { room: 'read', ...request });
        return [messages!.map(({ data }) => data), complete];
      };
      expect(await read({})).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], true]);
      expect(await read({ limit: 3 })).toEqual([[7, 8, 9], false]);
      expect(await read({ before: said[7]!.pos, limit: 3 })).toEqual([[4, 5, 6], false]);
      expect(await read({ before: said[2]!.pos, limit: 3 })).toEqual([[0, 1], true]);
      expect(await read({ before: said[0]!.pos })).toEqual([[], true]);
      expect(await read({ after: said[7]!.pos })).toEqual([[8, 9], true]);
      expect(await read({ after: said[1]!.pos, limit: 2 })).toEqual([[2, 3], false]);
      expect(await read({ after: said[9]!.pos })).toEqual([[], true]);
      expect(await read({ after: 'elsewhere.1' })).toEqual([expect.any(Array), false]);
      const { messages } = await bob.ask('room:history', { room: 'read', limit: 1 });
      const { id, pos } = said[9]!;
      expect(messages).toEqual([
        {
          event: 'chat',
          data: 9,
          room: 'read',
          id,
          pos,
          at: expect.any(Number) as number,
          from: expect.any(String) as string,
        },
      ]);
    });

    it.each([
      [{}, 'room: expected a string'],
      [{ room: 'x', limit: 0 }, 'limit: expected 1 to 1000'],
      [{ room: 'x', limit: 'all' }, 'limit: expected 1 to 1000'],
      [{ room: 'x', before: 7 }, 'before: expected a position: the pos of a message'],
      [{ room: 'x', before: 'a.1', after: 'a.1' }, 'before: expected either before or after, not both'],
    ])('refuse what cannot be read: %j', async (request, message) => {
      const ann = await client(0).join('x');
      expect(await ann.ask('room:history', request)).toMatchObject({
        ok: false,
        error: { code: 'BAD_REQUEST', message },
      });
    });

    it('are read by those who are in them', async () => {
      const answer = await client(0).ask('room:history', { room: 'elsewhere' });
      expect(answer).toMatchObject({ ok: false, error: { code: 'NOT_IN_ROOM' } });
    });

    it('miss and double nothing where resuming meets what is being said', async () => {
      const ann = await client(0).join('fence');
      const said: Promise<Answer>[] = [];
      const load = setInterval(() => said.push(ann.say('fence', said.length)), 1);
      const returning = Array.from({ length: 10 }, () => new Returning('fence'));
      await Promise.all(returning.map((each, i) => each.enter(url(i))));
      for (let round = 0; round < 10; round++) {
        for (const each of returning) each.leave();
        const answers = await Promise.all(returning.map((each, i) => each.enter(url(i + round))));
        expect(answers.map(({ recovered }) => recovered)).toEqual(answers.map(() => true));
      }
      clearInterval(load);
      const ids = (await Promise.all(said)).map(({ id }) => id!);
      await until('all have the last', () => returning.every((each) => each.ids.at(-1) === ids.at(-1)));
      for (const each of returning) {
        expect(each.ids.length).toBeGreaterThan(50);
        expect(each.ids).toEqual(ids.slice(ids.indexOf(each.ids[0]!)));
        each.leave();
      }
    });
  },
);

describe.each(brokers)(
  'rooms with history over $transport, when things die',
  ({ transport, variable, shared, start }) => {
    const BROADCAST_PREFIX = `h${randomBytes(4).toString('hex')}.`;
    const environment = { BROADCAST_TRANSPORT: transport, BROADCAST_PREFIX, HISTORY_SIZE: '5000' };

    it('lose nothing when a gateway is killed: its clients go on elsewhere', async () => {
      const run = (INSTANCE_ID: string) => runGateway({ ...environment, [variable]: shared, INSTANCE_ID });
      const [one, two] = await Promise.all([run('gw-1'), run('gw-2')]);
      const bob = new Returning('r');
      await bob.enter(one.url);
      const ann = await new Client(two.url).join('r');
      const said: Promise<Answer>[] = [];
      const load = setInterval(() => said.push(ann.say('r', said.length)), 3);
      await until('messages flow', () => bob.ids.length > 50);
      await one.end('SIGKILL');
      await until('more is said', () => said.length > 300);
      expect(await bob.enter(two.url)).toMatchObject({ recovered: true });
      await until('messages flow', () => said.length > 400);
      clearInterval(load);
      const ids = (await Promise.all(said)).map(({ id }) => id);
      await until('bob has the last', () => bob.ids.at(-1) === ids.at(-1));
      expect(bob.ids).toEqual(ids);
      ann.close();
      bob.leave();
      expect(await two.end('SIGTERM')).toBe(0);
    }, 60_000);

    it('lose nothing when the broker is killed and started again under load', async () => {
      const broker = await start();
      const own = { ...environment, [variable]: broker.url };
      const pair = await Promise.all(['gw-a', 'gw-b'].map((INSTANCE_ID) => runGateway({ ...own, INSTANCE_ID })));
      const [ann, bob] = await Promise.all(pair.map(({ url }) => new Client(url).join('load')));
      const answers: Promise<Answer>[] = [];
      const load = setInterval(() => answers.push(ann!.say('load', answers.length)), 5);
      await until('messages flow', () => bob!.chats.length > 50);
      // RabbitMQ 3.10.8 writes the name of its first stream down after 5 s: killed before that, it starts without it.
      if (transport === 'rabbitmq') await new Promise((resolve) => setTimeout(resolve, 6_000));
      await broker.kill();
      await broker.start();
      const before = bob!.chats.length;
      await until('messages flow again', () => bob!.chats.length > before + 50, 30_000);
      clearInterval(load);
      const acknowledged = (await Promise.all(answers)).filter(({ ok }) => ok).map(({ id }) => id);
      await until('the last arrives', () =>
        [ann, bob].every((each) => each!.heard.at(-1)?.meta?.id === acknowledged.at(-1)),
      );
      const heard = [ann, bob].map((each) => each!.heard.map(({ meta }) => meta?.id));
      expect(heard[0]).toEqual(heard[1]);
      expect(heard[0]).toEqual([...new Set(heard[0])]);
      expect(acknowledged.filter((id) => !heard[0]!.includes(id))).toEqual([]);
      expect([ann, bob].flatMap((each) => each!.dataOf('room:gap'))).toEqual([]);
      ann!.close();
      bob!.close();
      expect(await Promise.all(pair.map((each) => each.end('SIGTERM')))).toEqual([0, 0]);
      await broker.stop();
    }, 90_000);
  },
);
