/*
 * The HTTP API, as services use it: over two gateways on each transport, with real clients in the rooms. Every answer is
 * held against the documents that the gateways show.
 */
import { APP_DEFAULTS, memory, readEnvironment, transportOf, type Transport } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { startGateway, type Gateway } from '../../apps/gateway/src/gateway.js';
import { Api } from './documented.js';
import { Client } from './processes.js';

const KEYS = ['the-key-of-the-shop', 'the-key-of-tomorrow'];
const where = [
  { transport: 'memory', variables: {} },
  { transport: 'redis', variables: { REDIS_URL: process.env['TEST_REDIS_URL'] } },
  { transport: 'rabbitmq', variables: { RABBITMQ_URL: process.env['TEST_RABBITMQ_URL'] } },
];

describe.each(where)('the HTTP API of two gateways over $transport', ({ transport, variables }) => {
  let gateways: Gateway[];
  let apis: Api[];
  let [one, other] = [] as unknown as [Api, Api];
  const clients: Client[] = [];

  beforeAll(async () => {
    const shared = transport === 'memory' ? memory() : undefined;
    const BROADCAST_PREFIX = `h${randomBytes(4).toString('hex')}.`;
    gateways = await Promise.all(
      ['gw-1', 'gw-2'].map((INSTANCE_ID) => {
        const settings = readEnvironment(
          {
            ...variables,
            BROADCAST_TRANSPORT: transport,
            BROADCAST_PREFIX,
            INSTANCE_ID,
            PORT: '0',
            HOST: '127.0.0.1',
            API_KEYS: KEYS.join(','),
            ROOM_PROFILES: '{"live":{"history":{"size":0}}}',
            LOG_LEVEL: 'fatal',
          },
          APP_DEFAULTS,
        );
        return startGateway(settings, (shared ?? transportOf(settings)) satisfies Transport);
      }),
    );
    apis = gateways.map(({ url }, index) => new Api(url, KEYS[index]));
    [one, other] = apis as [Api, Api];
  }, 60_000);
  afterEach(() => clients.splice(0).forEach((client) => client.close()));
  afterAll(() => Promise.all(gateways.map(({ app }) => app.close())));

  function client(gateway: number, user: string): Client {
    const made = new Client(gateways[gateway]!.url, user);
    clients.push(made);
    return made;
  }

  it('answer who offers another protocol, as Java does with HTTP/2 in each request', async () => {
    const data = 'x'.repeat(30_000);
    const body = JSON.stringify({ event: 'chat', data });
    const asked = request(`${gateways[0]!.url}/v1/rooms/h2/messages`, {
      method: 'POST',
      headers: {
        ...{ connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAARAAAAAAAIAAAAA' },
        ...{ authorization: `Bearer ${KEYS[0]}`, 'content-type': 'application/json', 'content-length': body.length },
      },
    });
    const answered = new Promise<number | undefined>((resolve, reject) => {
      asked.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject);
    });
    asked.write(body.slice(0, 10));
    await new Promise((resolve) => setImmediate(resolve));
    asked.end(body.slice(10));
    expect(await answered).toBe(201);
    const { body: history } = await other.get('/v1/rooms/h2/messages');
    expect(history).toMatchObject({ messages: [{ data }] });
  });

  it('say something in a room, once, whichever gateway is asked, and however often', async () => {
    const members = await Promise.all([client(0, 'ann').join('p'), client(1, 'bob').join('p')]);
    const first = await one.post('/v1/rooms/p/messages', { event: 'chat', data: { text: 'hi' } });
    expect(first).toMatchObject({ status: 201, body: { id: expect.any(String), pos: expect.any(String) } });
    const again = { event: 'chat', data: 'once', id: 'order-1' };
    const second = await one.post('/v1/rooms/p/messages', again);
    expect(await other.post('/v1/rooms/p/messages', again)).toMatchObject({ status: 201, body: second.body });
    const { id: _, ...message } = again;
    const byHeader = await other.post('/v1/rooms/p/messages', message, { 'Idempotency-Key': 'order-1' });
    expect(byHeader).toMatchObject({ status: 201, body: { ...second.body, id: 'order-1' } });
    await one.post('/v1/rooms/p/messages', { event: 'chat', data: 'last' });
    await until('both hear the last', () => members.every(({ chats }) => chats.includes('last')));
    for (const { chats } of members) expect(chats).toEqual([{ text: 'hi' }, 'once', 'last']);
  });

  it('say one thing in each of many rooms, with a result for each', async () => {
    const member = client(1, 'ann');
    for (const room of ['b0', 'b7', 'live:3']) await member.join(room);
    const rooms = [
      ...Array.from({ length: 40 }, (_, i) => `b${i}`),
      ...Array.from({ length: 40 }, (_, i) => `live:${i}`),
    ];
    const body = { rooms: [...rooms, 'b0'], event: 'chat', data: 'all', id: 'news-1' };
    const { status, body: answer } = await one.post('/v1/broadcasts', body);
    expect(status).toBe(200);
    const results = answer.results as { room: string; ok: boolean; id: string; pos?: string }[];
    expect(results.map(({ room }) => room)).toEqual([...rooms, rooms[0]]);
    expect(
      results.every(({ ok, id, pos, room }) => ok && id === 'news-1' && (pos !== undefined) === room.startsWith('b')),
    ).toBe(true);
    expect((await other.post('/v1/broadcasts', body)).body).toEqual(answer);
    await until('it is heard in three rooms', () => member.chats.length >= 3);
    await member.say('b0', 'end');
    await until('the end', () => member.chats.includes('end'));
    expect(member.chats).toEqual(['all', 'all', 'all', 'end']);
    expect(member.heard.map(({ meta }) => meta!.room).sort()).toEqual(['b0', 'b0', 'b7', 'live:3']);
  });

  it('say one thing in ten thousand rooms, and no more', async () => {
    const rooms = Array.from({ length: 10_000 }, (_, i) => `live:${i}`);
    const { status, body } = await one.post('/v1/broadcasts', { rooms, event: 'chat', data: 'x'.repeat(1_000) });
    expect([status, body.results.length]).toEqual([200, 10_000]);
    expect(body.results.every(({ ok }: { ok: boolean }) => ok)).toBe(true);
    const wrong = await one.post('/v1/broadcasts', { rooms: ['fine', 'no name'], event: 'chat' });
    expect(wrong).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining('rooms.1: expected') } },
    });
    const more = await one.post('/v1/broadcasts', { rooms: [...rooms, 'x'], event: 'chat' });
    expect(more).toMatchObject({
      status: 400,
      body: { error: { message: 'rooms: expected 1 to 10000 names of rooms' } },
    });
  }, 60_000);

  it('read what was said in a room, from its end, before and after a position', async () => {
    for (let i = 0; i < 5; i++) await one.post('/v1/rooms/h/messages', { event: 'chat', data: i });
    const page = async (query: string) => (await other.get(`/v1/rooms/h/messages?${query}`)).body;
    const data = ({ messages }: { messages: { data: number }[] }) => messages.map((message) => message.data);
    const all = await page('');
    expect([data(all), all.complete]).toEqual([[0, 1, 2, 3, 4], true]);
    const pos = encodeURIComponent(all.messages[2].pos as string);
    expect(data(await page(`after=${pos}`))).toEqual([3, 4]);
    const before = await page(`before=${pos}&limit=1`);
    expect([data(before), before.complete]).toEqual([[1], false]);
    expect(await other.get('/v1/rooms/live:1/messages')).toMatchObject({ status: 400 });
    expect(await other.get(`/v1/rooms/h/messages?after=${pos}&before=${pos}`)).toMatchObject({ status: 400 });
    expect(await other.get('/v1/rooms/h/messages?limit=1001')).toMatchObject({ status: 400 });
    expect(await other.get('/v1/rooms/h/messages?limit=5&limit=6')).toMatchObject({ status: 400 });
  });

  it('list the rooms of both, page by page', async () => {
    const [ann, bob] = [client(0, 'ann'), client(1, 'bob')];
    for (const room of ['l1', 'l3', 'l5']) await ann.join(room);
    for (const room of ['l2', 'l3', 'l4']) await bob.join(room);
    const found: { room: string; sockets: number }[] = [];
    let next: string | undefined = 'l';
    while (next !== undefined) {
      const { body } = await one.get(`/v1/rooms?limit=2&after=${next}`);
      expect(body.rooms.length).toBeLessThanOrEqual(2);
      found.push(...body.rooms);
      next = body.next as string | undefined;
    }
    expect(found.map(({ room, sockets }) => [room, sockets])).toEqual([
      ['l1', 1],
      ['l2', 1],
      ['l3', 2],
      ['l4', 1],
      ['l5', 1],
    ]);
  });

  it('see who is in a room, and take somebody out, on whichever instance', async () => {
    const [ann, tab, bob] = await Promise.all([
      client(0, 'ann').join('m'),
      client(1, 'ann').join('m'),
      client(1, 'bob').join('m'),
    ]);
    await until('both users are seen', async () => (await one.get('/v1/rooms/m')).body.count === 2);
    expect((await one.get('/v1/rooms/m')).body).toMatchObject({
      room: 'm',
      count: 2,
      sockets: 3,
      history: { size: 200 },
    });
    const members = await other.get('/v1/rooms/m/members');
    expect({ ...members.body, members: members.body.members.sort() }).toEqual({
      room: 'm',
      count: 2,
      members: ['ann', 'bob'],
      complete: true,
    });
    expect(await one.delete('/v1/rooms/m/members/ann')).toMatchObject({ status: 200, body: { sockets: 2 } });
    for (const { heard } of [ann, tab])
      await until('it is told', () => heard.some(({ event }) => event === 'room:closed'));
    expect(ann.dataOf('room:closed')).toMatchObject([{ room: 'm', reason: 'removed' }]);
    expect((await ann.say('m', 'still here?')).error?.code).toBe('NOT_IN_ROOM');
    await until(
      'the others are told',
      () => (bob.dataOf('room:presence').at(-1) as { left?: string[] } | undefined)?.left?.[0] === 'ann',
    );
    expect(await one.delete('/v1/rooms/m/members/ann')).toMatchObject({
      status: 404,
      body: { error: { code: 'NOT_FOUND' } },
    });
    expect(await ann.ask('room:join', { room: 'm' })).toMatchObject({ ok: true });
  });

  it('moderate, in a room and everywhere, on all instances', async () => {
    const put = (api: Api, path: string, body: object) => api.call('PUT', path, { body: JSON.stringify(body) });
    const [eve, bob] = [client(1, 'eve'), client(1, 'bob')];
    await Promise.all([eve.join('mod'), bob.join('mod')]);
    expect(await put(one, '/v1/rooms/mod/mutes/eve', { duration: '1h', reason: 'spam' })).toMatchObject({
      status: 200,
      body: { kind: 'mute', room: 'mod', user: 'eve', by: 'api' },
    });
    await until('eve is muted', async () => (await eve.say('mod', 'x')).error?.code === 'FORBIDDEN');
    expect((await other.get('/v1/restrictions?room=mod&limit=5')).body.restrictions).toHaveLength(1);
    expect((await other.delete('/v1/rooms/mod/mutes/eve')).body).toEqual({ lifted: true });
    await put(one, '/v1/mutes/eve', {});
    await until('eve is muted everywhere', async () => (await eve.say('mod', 'x')).error?.code === 'FORBIDDEN');
    await one.delete('/v1/mutes/eve');
    expect((await put(one, '/v1/rooms/mod/slow-mode', { interval: '1h' })).body).toEqual({ interval: 3_600_000 });
    await until('it is slow', async () => (await bob.say('mod', 'x')).error?.code === 'RATE_LIMITED');
    expect((await one.delete('/v1/rooms/mod/slow-mode')).body).toEqual({ interval: 0 });
    await one.post('/v1/rooms/mod/kicks', { user: 'bob' });
    await until('bob is out', () => bob.dataOf('room:closed').length > 0);
    expect(bob.dataOf('room:closed')).toEqual([{ room: 'mod', reason: 'kicked' }]);
    expect(await one.post('/v1/rooms/mod/kicks', { user: 'nobody' })).toMatchObject({ status: 200, body: {} });
    await put(one, '/v1/rooms/mod/bans/bob', {});
    await until('bob is banned', async () => (await bob.ask('room:join', { room: 'mod' })).error?.code === 'FORBIDDEN');
    await one.delete('/v1/rooms/mod/bans/bob');
    await one.post('/v1/kicks', { user: 'bob' });
    await until('bob is closed', () => !bob.socket.connected);
    await put(one, '/v1/bans/eve', { duration: 60_000 });
    await until('eve is closed', () => !eve.socket.connected);
    await one.delete('/v1/bans/eve');
    for (const [path, body] of [
      ['/v1/bans/a%20b', {}],
      ['/v1/bans/eve', { duration: 'soon' }],
      ['/v1/rooms/mod/slow-mode', {}],
    ] as const) {
      expect(await put(one, path, body)).toMatchObject({ status: 400, body: { error: { code: 'BAD_REQUEST' } } });
    }
    expect(await new Api(one.url).get('/v1/restrictions')).toMatchObject({ status: 401 });
  });

  it('see which instances there are', async () => {
    const { body } = await one.get('/v1/instances');
    const ids = body.instances.map(({ id }: { id: string }) => id);
    expect([ids[0], ids.sort()]).toEqual(['gw-1', ['gw-1', 'gw-2']]);
    expect((await one.get('/health/live')).body.instance).toBe('gw-1');
    expect((await other.get('/health/ready')).status).toBe(200);
  });

  it.each([
    ['a%2Fb', 'a slash'],
    ['..%2F..%2Fetc%2Fpasswd', 'a path'],
    ['a%00', 'a control character'],
    ['a%0d%0aX-Header:1', 'a header'],
    ['%E2%82%AC', 'letters beyond ASCII'],
    ['a%20b', 'a space'],
    ['a'.repeat(129), 'too many characters'],
    ['%zz', 'a broken escape'],
    ['%ff', 'bytes that are no UTF-8'],
  ])('refuse a room named %s, with %s', async (room) => {
    for (const called of [
      await one.post(`/v1/rooms/${room}/messages`, { event: 'chat' }),
      await one.get(`/v1/rooms/${room}/members`),
      await one.delete(`/v1/rooms/${room}/members/ann`),
    ]) {
      expect(called).toMatchObject({ status: 400, body: { error: { code: 'BAD_REQUEST' } } });
      expect([...called.headers.keys()]).not.toContain('x-header');
    }
  });

  it('take names that other languages find special for what they are', async () => {
    for (const room of ['__proto__', 'constructor', 'a:b.c@d-e_f', '%61']) {
      expect((await one.post(`/v1/rooms/${room}/messages`, { event: 'chat', data: room })).status).toBe(201);
      const { messages } = (await other.get(`/v1/rooms/${room}/messages`)).body;
      expect(messages.map((message: { data: string; room: string }) => [message.data, message.room])).toEqual([
        [room, decodeURIComponent(room)],
      ]);
    }
  });

  afterAll(async () => {
    const seen = new Set(apis.flatMap(({ seen }) => [...seen]));
    const { paths } = await one.document();
    const operations = Object.values(paths).flatMap((path) => Object.values(path));
    const missed = operations.filter(({ operationId, responses }) => {
      const success = Object.keys(responses).find((status) => status.startsWith('2'));
      return !seen.has(`${operationId} ${success}`);
    });
    // Each documented operation was called with success, and has answered as documented.
    expect(missed.map(({ operationId }) => operationId)).toEqual([]);
  });
});
