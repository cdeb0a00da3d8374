/*
 * Floods, and what is left of them: over two gateways on each transport.
 */
import { until } from '@app/broadcast/testing';
import { connect } from 'node:net';
import { pairs, type Pair } from './pair.js';
import { Client, endAll, type Answer } from './processes.js';

afterAll(endAll);

describe.each(pairs)('limits of two gateways over %s', (_transport, start) => {
  const clients: Client[] = [];
  let pair: Pair;

  beforeAll(async () => {
    pair = await start({
      RATE_LIMIT: '20/10s',
      RATE_LIMIT_USER: '25/10s',
      RATE_LIMIT_ROOM: '30/10s',
      JOIN_LIMIT: '12/10s',
      MAX_ROOMS_PER_SOCKET: '10',
      MAX_CONNECTIONS: '9',
      MAX_CONNECTIONS_PER_USER: '3',
      MAX_MESSAGE_BYTES: '1000',
    });
  });
  afterEach(async () => {
    const open = clients.splice(0);
    open.forEach((client) => client.close());
    await Promise.all(pair.urls.map((url) => until('they are gone', async () => (await connections(url)) === 0)));
  });
  afterAll(() => pair.end());

  function enter(gateway: 0 | 1, user: string): Client {
    const client = new Client(pair.urls[gateway], user);
    clients.push(client);
    return client;
  }

  const limited = { code: 'RATE_LIMITED', message: expect.any(String), retryAfter: expect.any(Number) };

  it('let a socket say so much at a time, and more when it waits', async () => {
    const [ann, bob] = await Promise.all([enter(0, 'ann').join('s'), enter(1, 'bob').join('s')]);
    const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => ann.say('s', i)));
    const refused = answers.filter(({ ok }) => !ok);
    expect(refused).toHaveLength(10);
    for (const { error } of refused) expect(error).toEqual(limited);
    expect(refused[0]!.error!.retryAfter).toBeLessThanOrEqual(500);
    // Requests that cannot be are counted too, and the connection stays usable.
    expect(await ann.ask('room:send', 5)).toMatchObject({ error: { code: 'RATE_LIMITED' } });
    await until('there is room for one', async () => (await ann.say('s', 'later')).ok);
    await until('bob has heard what was accepted', () => bob.chats.includes('later'));
    expect(bob.chats).toEqual([...Array.from({ length: 20 }, (_, i) => i), 'later']);
  });

  it('let a user say so much at a time, by however many sockets', async () => {
    const sockets = await Promise.all([enter(0, 'cat').join('u'), enter(0, 'cat').join('u')]);
    const say = (each: Client) => Promise.all(Array.from({ length: 15 }, (_, i) => each.say('u', i)));
    const answers = (await Promise.all(sockets.map(say))).flat();
    expect(codes(answers)).toEqual({ ok: 25, RATE_LIMITED: 5 });
  });

  it('let so much be said in a room at a time, by however many users', async () => {
    const users = await Promise.all(['dan', 'eve'].map((user) => enter(1, user).join('r')));
    const say = (each: Client) => Promise.all(Array.from({ length: 18 }, (_, i) => each.say('r', i)));
    const answers = (await Promise.all(users.map(say))).flat();
    expect(codes(answers)).toEqual({ ok: 30, RATE_LIMITED: 6 });
    const [refused] = answers.filter(({ ok }) => !ok);
    expect(refused!.error).toMatchObject({ message: expect.stringContaining('room r') });
  });

  it('let a socket join so many rooms, so many at a time, and leave them all', async () => {
    const fay = enter(0, 'fay');
    const joins = await Promise.all(Array.from({ length: 15 }, (_, i) => fay.ask('room:join', { room: `j${i}` })));
    expect(codes(joins)).toEqual({ ok: 10, RATE_LIMITED: 5 });
    expect(joins[10]!.error).toEqual({ ...limited, message: expect.stringContaining('in 10 rooms already') });
    expect(joins[14]!.error).toEqual({ ...limited, message: expect.stringContaining('at a time') });
    const leaves = await Promise.all(Array.from({ length: 10 }, (_, i) => fay.ask('room:leave', { room: `j${i}` })));
    expect(codes(leaves)).toEqual({ ok: 10 });
    // The room that every socket is in by itself was not joined.
    const own = Array.from({ length: 30 }, () => fay.ask('room:leave', { room: fay.socket.id }));
    expect(codes(await Promise.all(own)).RATE_LIMITED).toBeGreaterThan(0);
  });

  it('refuse what is too large, and nothing else', async () => {
    const gus = await enter(1, 'gus').join('big');
    expect(await gus.say('big', 'x'.repeat(2_000))).toMatchObject({ ok: false, error: { code: 'TOO_LARGE' } });
    expect(await gus.say('big', 'x')).toMatchObject({ ok: true });
    const body = JSON.stringify({ event: 'chat', data: 'x'.repeat(2_000) });
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(`${pair.urls[1]}/v1/rooms/big/messages`, { method: 'POST', headers, body });
    expect(status).toBe(413);
    const { refused } = (await (await fetch(`${pair.urls[1]}/health/ready`)).json()) as { refused: { size: number } };
    expect(refused.size).toBe(2);
    const metrics = await (await fetch(`${pair.urls[1]}/metrics`)).text();
    expect(metrics).toContain('roomcast_refused_total{reason="size"} 2');
  });

  it('let a user connect so many times, and an instance have so many connections', async () => {
    for (let i = 0; i < 3; i++) await enter(0, 'hal').join('c');
    expect(await refusal(enter(0, 'hal'))).toEqual({ ...limited, message: expect.stringContaining('hal') });
    for (const user of ['i', 'j']) for (let i = 0; i < 3; i++) await enter(0, user).join('c');
    expect(await refusal(enter(0, 'kim'))).toEqual({ ...limited, message: expect.stringContaining('this instance') });
    await enter(1, 'kim').join('c');
    clients[0]!.close();
    const kim = enter(0, 'kim');
    await until('there is room for one', () => {
      if (!kim.socket.connected) kim.socket.connect();
      return kim.socket.connected;
    });
  });
});

describe('the handshakes of an address', () => {
  it('are so many at a time, whoever comes; behind a proxy they are told apart', async () => {
    const pair = await pairs[0]![1]({ HANDSHAKE_RATE: '3/m', TRUST_PROXY: '1' });
    const enter = async (from: string) => {
      const extraHeaders = { 'x-forwarded-for': `203.0.113.7, ${from}` };
      const client = new Client(pair.urls[0], 'ann', { extraHeaders, transports: ['websocket'], reconnection: false });
      const code = await Promise.race([
        refusal(client).then(({ code }) => code),
        new Promise((resolve) => client.socket.once('connect', () => resolve('ok'))),
      ]);
      client.close();
      return code;
    };
    try {
      const codes: unknown[] = [];
      for (let i = 0; i < 4; i++) codes.push(await enter('198.51.100.1'));
      expect(codes).toEqual(['ok', 'ok', 'ok', 'RATE_LIMITED']);
      expect(await enter('198.51.100.2')).toBe('ok');
    } finally {
      await pair.end();
    }
  });

  it('do not keep a connection that was refused, or never asks to be let in', async () => {
    const pair = await pairs[0]![1]({ AUTH_JWT_SECRET: 'x'.repeat(32), AUTH_ANONYMOUS: 'false' });
    const { port } = new URL(pair.urls[0]);
    // By hand: Socket.IO's own clients would hang up by themselves.
    const open = (packet?: Buffer) =>
      new Promise<void>((resolve) => {
        const socket = connect(Number(port), '127.0.0.1');
        const key = Buffer.alloc(16).toString('base64');
        socket.write(
          `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
        );
        if (packet) socket.write(packet);
        socket.resume();
        socket.on('close', () => resolve());
        socket.on('end', () => socket.end());
        socket.on('error', () => undefined);
      });
    try {
      // A masked text frame, `40`: let me in.
      await Promise.all([
        open(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30])),
        ...Array.from({ length: 50 }, () => open()),
      ]);
    } finally {
      await pair.end();
    }
  });
});

function codes(answers: Answer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { ok, error } of answers) {
    const code = ok ? 'ok' : error!.code;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

async function connections(url: string): Promise<number> {
  const response = await fetch(`${url}/health/ready`);
  return ((await response.json()) as { connections: number }).connections;
}

function refusal(client: Client): Promise<{ code: string; message: string; retryAfter?: number }> {
  return new Promise((resolve) => {
    client.socket.once('connect_error', (error) =>
      resolve((error as unknown as { data: { code: string; message: string } }).data),
    );
  });
}
