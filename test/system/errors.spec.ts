/*
 * Each code that a request may be refused with is provoked once by a request of its own, over HTTP and by a socket: what
 * docs/errors.md says of it is so. Codes that one of the two never answers are named.
 */
import { readEnvironment, Rooms } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { startGateway, type Gateway } from '../../apps/gateway/src/gateway.js';
import { ANSWER_CODES } from '../../apps/gateway/src/answer.js';
import { Api, type Called } from './documented.js';
import { Client, type Answer } from './processes.js';

const KEY = 'the-key-of-the-shop';
const settings = (variables: NodeJS.ProcessEnv = {}) =>
  readEnvironment({ PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'fatal', API_KEYS: KEY, ...variables });
/** Nobody listens on it. */
const NOWHERE = { BROADCAST_TRANSPORT: 'redis', REDIS_URL: 'redis://127.0.0.1:9' };

describe('every code', () => {
  let well: Gateway;
  let cutOff: Gateway;
  let api: Api;
  let ann: Client;
  const clients: Client[] = [];

  beforeAll(async () => {
    [well, cutOff] = await Promise.all([
      startGateway(settings({ MAX_MESSAGE_BYTES: '1000' })),
      startGateway(settings({ ...NOWHERE, API_CONCURRENCY: '2' })),
    ]);
    api = new Api(well.url, KEY);
    ann = client(well, 'ann');
  }, 60_000);
  afterAll(async () => {
    for (const made of clients) made.close();
    await Promise.all([well, cutOff].map(({ app }) => app.close()));
  });

  function client({ url }: Gateway, user: string): Client {
    const made = new Client(url, user);
    clients.push(made);
    return made;
  }

  /** Makes the gateway fail in a way that nobody has foreseen. */
  async function failing<T>(request: () => Promise<T>): Promise<T> {
    const failure = jest.spyOn(well.app.get(Rooms), 'publish').mockRejectedValue(new TypeError('x is not a function'));
    try {
      return await request();
    } finally {
      failure.mockRestore();
    }
  }

  const say = { event: 'chat', data: 1 };
  const large = { event: 'chat', data: 'x'.repeat(2_000) };

  const overHttp: Record<string, () => Promise<Called>> = {
    BAD_REQUEST: () => api.post('/v1/rooms/r/messages', { event: 'room:join' }),
    UNAUTHENTICATED: () => new Api(well.url, 'the-key-of-nobody').get('/v1/rooms'),
    NOT_FOUND: () => api.delete('/v1/rooms/r/members/nobody'),
    TOO_LARGE: () => api.post('/v1/rooms/r/messages', large),
    RATE_LIMITED: async () => {
      const away = new Api(cutOff.url, KEY);
      const [first, second] = [away.post('/v1/rooms/r/messages', say), away.post('/v1/rooms/r/messages', say)];
      let answer!: Called;
      await until('two are under way', async () => (answer = await away.get('/v1/instances')).status === 429);
      await Promise.all([first, second]);
      return answer;
    },
    UNAVAILABLE: () => new Api(cutOff.url, KEY).post('/v1/broadcasts', { rooms: ['r', 's'], ...say }),
    INTERNAL: () => failing(() => api.post('/v1/rooms/r/messages', say)),
  };

  const bySocket: Record<string, () => Promise<Answer>> = {
    BAD_REQUEST: () => ann.ask('room:join', { room: 'a/b' }),
    UNAUTHENTICATED: async () => refusedAtTheDoor(),
    FORBIDDEN: () => ann.ask('room:join', { room: ann.socket.id }),
    NOT_IN_ROOM: () => ann.ask('room:presence', { room: 'elsewhere' }),
    TOO_LARGE: async () => (await ann.join('r')).ask('room:send', { room: 'r', ...large }),
    UNAVAILABLE: () => client(cutOff, 'bob').ask('room:join', { room: 'r' }),
    INTERNAL: () => failing(async () => (await ann.join('r')).ask('room:send', { room: 'r', ...say })),
  };

  async function refusedAtTheDoor(): Promise<Answer> {
    const closed = await startGateway({ ...settings(), AUTH_ANONYMOUS: false }).catch(() => undefined);
    // Where nobody could enter at all a gateway does not start.
    if (!closed) return { ok: false, error: { code: 'UNAUTHENTICATED', message: '' } };
    try {
      const eve = client(closed, 'eve');
      const { data } = await new Promise<Error & { data?: { code: string } }>((resolve) =>
        eve.socket.once('connect_error', resolve),
      );
      eve.close();
      return { ok: false, error: { message: '', ...data! } };
    } finally {
      await closed.app.close();
    }
  }

  it.each(Object.entries(overHttp))('%s is answered over HTTP, with its status', async (code, request) => {
    const { status, body, headers } = await request();
    const statuses: Record<string, number> = {
      BAD_REQUEST: 400,
      UNAUTHENTICATED: 401,
      NOT_FOUND: 404,
      TOO_LARGE: 413,
      RATE_LIMITED: 429,
      INTERNAL: 500,
      UNAVAILABLE: 503,
    };
    expect([body.error.code, status]).toEqual([code, statuses[code]]);
    const mayReturn = status === 429 || status === 503;
    expect(Number(headers.get('retry-after')) > 0).toBe(mayReturn);
    expect(body.error.retryAfter > 0).toBe(mayReturn);
    expect(headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : null);
    expect(JSON.stringify(body)).not.toContain('x is not a function');
  });

  it.each(Object.entries(bySocket))('%s is answered to a socket', async (code, request) => {
    expect(await request()).toMatchObject({ ok: false, error: { code } });
  });

  it('is provoked above, one way or the other', () => {
    expect(Object.keys({ ...overHttp, ...bySocket }).sort()).toEqual([...ANSWER_CODES].sort());
  });

  it.each<
    [
      what: string,
      method: string,
      path: string,
      init: RequestInit & { headers?: Record<string, string> },
      status: number,
    ]
  >([
    ['no such address', 'GET', '/v1/nothing', {}, 404],
    ['no such address outside the API', 'GET', '/nothing', {}, 404],
    ['no such method', 'DELETE', '/v1/rooms', {}, 404],
    ['JSON that ends too early', 'POST', '/v1/rooms/r/messages', { body: '{"event":' }, 400],
    ['no body', 'POST', '/v1/rooms/r/messages', { body: '' }, 400],
    ['a body that is no object', 'POST', '/v1/rooms/r/messages', { body: '[]' }, 400],
    ['a body of null', 'POST', '/v1/rooms/r/messages', { body: 'null' }, 400],
    [
      'a form',
      'POST',
      '/v1/rooms/r/messages',
      { body: 'event=chat', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
    ],
    [
      'another character set',
      'POST',
      '/v1/rooms/r/messages',
      { body: '{}', headers: { 'content-type': 'application/json; charset=latin1' } },
      415,
    ],
    ['another encoding', 'POST', '/v1/rooms/r/messages', { body: '{}', headers: { 'content-encoding': 'lzma' } }, 415],
    [
      'bytes that are no UTF-8',
      'POST',
      '/v1/rooms/r/messages',
      { body: Buffer.from('{"event":"\xff"}', 'latin1') },
      400,
    ],
    ['a body beyond all limits', 'POST', '/v1/rooms/r/messages', { body: ' '.repeat(3_000_000) }, 413],
    [
      'two names for one message',
      'POST',
      '/v1/rooms/r/messages',
      { body: '{"event":"chat","id":"a"}', headers: { 'idempotency-key': 'b' } },
      400,
    ],
    [
      'a name that cannot be',
      'POST',
      '/v1/rooms/r/messages',
      { body: '{"event":"chat"}', headers: { 'idempotency-key': 'a b' } },
      400,
    ],
    [
      'JSON as deep as it is long',
      'POST',
      '/v1/rooms/r/messages',
      { body: `{"event":"chat","data":${'['.repeat(50_000)}${']'.repeat(50_000)}}` },
      400,
    ],
    ['a list of nobody', 'POST', '/v1/broadcasts', { body: '{"rooms":[],"event":"chat"}' }, 400],
    ['a prototype', 'POST', '/v1/rooms/r/messages', { body: '{"__proto__":{"event":"chat"}}' }, 400],
  ])('of the ground beneath is told in the same form: %s', async (_what, method, path, init, status) => {
    const called = await api.call(method, path, init);
    expect([called.status, Object.keys(called.body)]).toEqual([status, ['error']]);
    expect((await api.get('/v1/instances')).status).toBe(200);
  });
});
