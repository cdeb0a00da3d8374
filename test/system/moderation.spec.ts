/*
 * Mute, kick, ban and slow mode: decided on one gateway, in force on the other, on each transport; and what is left of them
 * when gateways and brokers go.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { SignJWT, type JWTPayload } from 'jose';
import { startRabbitmq } from '../brokers/rabbitmq.js';
import { startRedis } from '../brokers/redis.js';
import { brokerOf, pairs, startProcesses, type Pair } from './pair.js';
import { Client, endAll, runGateway, type Answer } from './processes.js';

const AUTH_JWT_SECRET = 'the secret of all the gateways of this case';
const ROOM_PROFILES = '{"slow":{"slowMode":"1500ms"},"live":{"history":{"size":0}}}';
const SETTINGS = { AUTH_JWT_SECRET, AUTH_ANONYMOUS: 'true', ROOM_PROFILES };

afterAll(endAll);

async function enter(url: string, claims: JWTPayload): Promise<Client> {
  const key = new TextEncoder().encode(AUTH_JWT_SECRET);
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(key);
  return new Client(url, undefined, { auth: { token } });
}

function refused(code: string, message = ''): object {
  return { ok: false, error: expect.objectContaining({ code, message: expect.stringContaining(message) }) };
}

describe.each(pairs)('moderators of two gateways over %s', (_transport, start) => {
  const clients: Client[] = [];
  let pair: Pair;
  let mod: Client;

  beforeAll(async () => {
    pair = await start(SETTINGS);
    mod = await enter(pair.urls[0], { sub: 'mod', moderate: true });
  });
  afterEach(() => clients.splice(0).forEach((client) => client.close()));
  afterAll(async () => {
    mod.close();
    await pair.end();
  });

  async function user(gateway: 0 | 1, sub: string, claims: JWTPayload = {}): Promise<Client> {
    const client = await enter(pair.urls[gateway], { sub, ...claims });
    clients.push(client);
    return client;
  }

  it('mute a user in a room, for a while, and no longer', async () => {
    const [ann, bob] = [await user(1, 'ann'), await user(0, 'bob')];
    await Promise.all([ann.join('m'), ann.join('n'), bob.join('m')]);
    const decided = await mod.ask('room:mute', { room: 'm', user: 'ann', duration: '1500ms', reason: 'too loud' });
    expect(decided).toMatchObject({ ok: true, restriction: { kind: 'mute', room: 'm', user: 'ann', by: 'mod' } });
    await until('ann is told', () => ann.dataOf('room:moderation').length > 0);
    expect(ann.dataOf('room:moderation')[0]).toMatchObject({ kind: 'mute', room: 'm', reason: 'too loud' });
    const { error } = await ann.say('m', 'x');
    expect(error).toEqual({
      code: 'FORBIDDEN',
      message: 'you are muted in room m: too loud',
      retryAfter: expect.any(Number),
    });
    expect(error!.retryAfter).toBeLessThanOrEqual(1_500);
    expect(await ann.say('n', 'elsewhere')).toMatchObject({ ok: true });
    expect(await bob.say('m', 'bob may')).toMatchObject({ ok: true });
    await until('it is over', async () => (await ann.say('m', 'again')).ok);
  });

  it('mute a user everywhere, and take it back', async () => {
    const cat = await (await user(1, 'cat')).join('m');
    await mod.ask('room:mute', { user: 'cat' });
    await until('cat is muted', async () => !(await cat.say('m', 'x')).ok);
    expect((await cat.say('m', 'x')).error).toEqual({ code: 'FORBIDDEN', message: 'you are muted' });
    expect(await mod.ask('room:restrictions', { user: 'cat' })).toMatchObject({
      restrictions: [{ kind: 'mute', user: 'cat' }],
    });
    expect(await mod.ask('room:unmute', { user: 'cat' })).toEqual({ ok: true, lifted: true });
    await until('cat may speak', async () => (await cat.say('m', 'x')).ok);
    expect(await mod.ask('room:unmute', { user: 'cat' })).toEqual({ ok: true, lifted: false });
  });

  it.each(['kept', 'live:1'])('ban a user from a room, with all sockets, and let them in again: %s', async (room) => {
    const dan = await Promise.all([user(0, 'dan'), user(1, 'dan')]);
    const eve = await (await user(1, 'eve')).join(room);
    for (const each of dan) await each.join(room);
    expect(await mod.ask('room:ban', { room, user: 'dan', duration: '1h' })).toMatchObject({ ok: true });
    await until('both are out', () => dan.every((each) => each.dataOf('room:closed').length > 0));
    for (const each of dan) {
      expect(each.dataOf('room:closed')).toEqual([{ room, reason: 'banned', retryAfter: expect.any(Number) }]);
      expect(await each.ask('room:join', { room })).toEqual(refused('FORBIDDEN', `banned in room ${room}`));
      expect(await each.say(room, 'x')).toEqual(refused('NOT_IN_ROOM'));
      await each.join('elsewhere');
    }
    await eve.say(room, 'without dan');
    await until('eve hears it', () => eve.chats.includes('without dan'));
    expect(dan.flatMap((each) => each.chats)).toEqual([]);
    await mod.ask('room:unban', { room, user: 'dan' });
    await until('dan is in', async () => (await dan[1].ask('room:join', { room })).ok);
  });

  it('ban a user who asks to join again and again: nobody stays in', async () => {
    for (let i = 0; i < 10; i++) {
      const room = `live:race${i}`;
      const max = await user(1, `max${i}`);
      await max.ask('server:info', {});
      const banned = mod.ask('room:ban', { room, user: `max${i}` });
      const asked = ['room:join', 'room:join', 'room:leave', 'room:join'].map((request) => max.ask(request, { room }));
      expect(await banned).toMatchObject({ ok: true });
      await Promise.all(asked);
      await until('max is out', async () => (await max.ask('room:presence', { room })).error?.code === 'NOT_IN_ROOM');
    }
  });

  it('let nobody stay who waits for a room that the new token does not name', async () => {
    const key = new TextEncoder().encode(AUTH_JWT_SECRET);
    for (let i = 0; i < 10; i++) {
      const [room, max] = [`live:renew${i}`, await user(1, 'max')];
      const token = await new SignJWT({ sub: 'max', rooms: ['other'] }).setProtectedHeader({ alg: 'HS256' }).sign(key);
      const asked = [max.ask('room:join', { room }), max.ask('room:join', { room }), max.ask('auth:renew', { token })];
      expect((await Promise.all(asked))[2]).toMatchObject({ ok: true });
      expect(await max.say(room, 'still here')).toEqual(refused('NOT_IN_ROOM'));
    }
  });

  it('ban a user from everywhere: the sockets are closed, and nobody by that name comes in', async () => {
    const fay = await Promise.all([user(0, 'fay'), user(1, 'fay')]);
    await Promise.all(fay.map((each) => each.join('m')));
    await mod.ask('room:ban', { user: 'fay', duration: '1h', reason: 'spam' });
    await until('both are closed', () => fay.every(({ socket }) => !socket.connected));
    for (const each of fay) {
      const told = { code: 'FORBIDDEN', message: 'you are banned: spam', retryAfter: expect.any(Number) };
      expect(each.dataOf('server:closed')).toEqual([told]);
    }
    for (const gateway of [0, 1] as const) {
      const back = await user(gateway, 'fay');
      const error = await new Promise((resolve) => back.socket.once('connect_error', resolve));
      expect(error).toMatchObject({ data: { code: 'FORBIDDEN', retryAfter: expect.any(Number) } });
    }
    await mod.ask('room:unban', { user: 'fay' });
    await until('fay is in', async () => {
      const back = await user(1, 'fay');
      return (await Promise.race([back.ask('room:leave', { room: 'x' }), refusalOf(back)])).ok;
    });
  });

  it('kick a user out of a room, or out, who may come back', async () => {
    const gus = await (await user(1, 'gus')).join('m');
    expect(await mod.ask('room:kick', { room: 'm', user: 'gus', reason: 'language' })).toEqual({ ok: true });
    await until('gus is out', () => gus.dataOf('room:closed').length > 0);
    expect(gus.dataOf('room:closed')).toEqual([{ room: 'm', reason: 'kicked', message: 'language' }]);
    expect(await gus.say('m', 'x')).toEqual(refused('NOT_IN_ROOM'));
    await gus.join('m');
    await mod.ask('room:kick', { user: 'gus' });
    await until('gus is closed', () => !gus.socket.connected);
    await (await user(1, 'gus')).join('m');
  });

  it('slow a room down, for a user on all instances, by its profile and at run time', async () => {
    const hal = await Promise.all([user(0, 'hal'), user(1, 'hal')]);
    const ina = await user(1, 'ina');
    await Promise.all([...hal, ina].flatMap((each) => [each.join('slow:1'), each.join('fast')]));
    expect(await hal[0].say('slow:1', 1)).toMatchObject({ ok: true });
    await until('the other instance knows', async () => {
      const { error } = await hal[1].say('slow:1', 2);
      return error?.code === 'RATE_LIMITED' && error.retryAfter! <= 1_500;
    });
    expect(await hal[0].say('slow:1', 3)).toEqual(refused('RATE_LIMITED', 'slow mode'));
    expect(await ina.say('slow:1', 'others may')).toMatchObject({ ok: true });
    await until('hal may again', async () => (await hal[0].say('slow:1', 4)).ok);

    await mod.ask('room:slow', { room: 'fast', interval: '1h' });
    await until('everyone is told', () => ina.dataOf('room:moderation').length > 0);
    expect(ina.dataOf('room:moderation')).toEqual([
      expect.objectContaining({ kind: 'slow', room: 'fast', interval: 3_600_000 }),
    ]);
    expect(await ina.say('fast', 1)).toMatchObject({ ok: true });
    expect(await ina.say('fast', 2)).toEqual(refused('RATE_LIMITED'));
    await mod.join('fast');
    for (let i = 0; i < 3; i++) expect(await mod.say('fast', i)).toMatchObject({ ok: true });
    expect(await mod.ask('room:slow', { room: 'fast', interval: null })).toEqual({ ok: true, interval: 0 });
    await until('ina may again', async () => (await ina.say('fast', 3)).ok);
    expect(await mod.ask('room:slow', { room: 'slow:1', interval: 0 })).toEqual({ ok: true, interval: 0 });
    await until('the room is fast', async () => (await ina.say('slow:1', 5)).ok && (await ina.say('slow:1', 6)).ok);
    expect(await mod.ask('room:slow', { room: 'slow:1', interval: null })).toEqual({ ok: true, interval: 1_500 });
  });

  it('have to have the right to, in that room', async () => {
    const jim = await user(1, 'jim', { moderate: ['support:*'] });
    const kim = await user(1, 'kim');
    expect(await jim.ask('room:mute', { room: 'support:1', user: 'ann', duration: 1 })).toMatchObject({ ok: true });
    const about = { user: 'ann', room: 'm' };
    const slowly = { interval: 5, room: 'm' };
    for (const request of [
      'room:mute',
      'room:unmute',
      'room:ban',
      'room:unban',
      'room:kick',
      'room:slow',
      'room:restrictions',
    ]) {
      for (const each of [jim, kim])
        expect(await each.ask(request, request === 'room:slow' ? slowly : about)).toEqual(
          refused('FORBIDDEN', 'room m'),
        );
    }
    expect(await jim.ask('room:ban', { user: 'ann' })).toEqual(refused('FORBIDDEN', 'everywhere'));
  });

  it.each([
    ['room:ban', {}, 'user'],
    ['room:ban', { user: 'a b' }, 'user'],
    ['room:mute', { user: 'ann', room: '' }, 'room'],
    ['room:mute', { user: 'ann', duration: 'soon' }, 'duration'],
    ['room:mute', { user: 'ann', duration: 0 }, 'duration'],
    ['room:mute', { user: 'ann', duration: 1e300 }, 'duration'],
    ['room:mute', { user: 'ann', reason: 'x'.repeat(201) }, 'reason'],
    ['room:slow', { room: 'm' }, 'interval'],
    ['room:slow', { room: 'm', interval: '2d' }, 'interval'],
    ['room:slow', { interval: 5 }, 'room'],
    ['room:restrictions', { limit: 0 }, 'limit'],
    ['room:kick', 7, 'expected one object'],
  ])('are told what is wrong with %s %j', async (request, body, field) => {
    expect(await mod.ask(request, body)).toEqual(refused('BAD_REQUEST', field));
  });
});

describe.each([
  { transport: 'redis', start: () => startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] }) },
  { transport: 'rabbitmq', start: () => startRabbitmq() },
])('a ban over $transport', ({ transport, start }) => {
  it('outlives any gateway, all of them, and the broker', async () => {
    const broker = await start();
    const environment = {
      ...brokerOf(transport),
      [`${transport.toUpperCase()}_URL`]: broker.url,
      ...SETTINGS,
      HISTORY_SIZE: '0',
    };
    const isBanned = async (url: string, name: string) => {
      const client = await enter(url, { sub: name });
      const { ok, error } = await Promise.race([client.ask('room:join', { room: 'r' }), refusalOf(client)]);
      client.close();
      return !ok && error!.code === 'FORBIDDEN';
    };
    let pair = await startProcesses(environment);
    const mod = await enter(pair.urls[0], { sub: 'mod', moderate: true });
    expect(await mod.ask('room:ban', { room: 'r', user: 'ann', duration: '1h' })).toMatchObject({ ok: true });
    expect(await mod.ask('room:ban', { user: 'bob' })).toMatchObject({ ok: true });
    expect(await mod.ask('room:ban', { room: 'r', user: 'cat' })).toMatchObject({ ok: true });
    expect(await mod.ask('room:unban', { room: 'r', user: 'cat' })).toMatchObject({ ok: true });
    const known = async (urls: readonly string[]) => {
      const banned = (name: string) => Promise.all(urls.map((url) => isBanned(url, name)));
      expect([await banned('ann'), await banned('bob')].flat()).toEqual(Array(2 * urls.length).fill(true));
      expect((await banned('cat')).includes(true)).toBe(false);
    };
    await known(pair.urls);

    const third = await runGateway({ ...environment, INSTANCE_ID: 'gw-3' });
    await known([third.url]);
    await third.end('SIGKILL');

    mod.close();
    await pair.end();
    pair = await startProcesses(environment);
    await known(pair.urls);

    await pair.end();
    await broker.kill();
    await broker.start();
    pair = await startProcesses(environment);
    await known(pair.urls);
    await pair.end();
    await broker.stop();
  }, 120_000);
});

describe('a broker that has forgotten', () => {
  it('is told again by the gateways that are there, and what is decided while one is away reaches it later', async () => {
    // Nothing is written down: what Redis knew is gone with it.
    const broker = await startRedis();
    const environment = {
      BROADCAST_TRANSPORT: 'redis',
      REDIS_URL: broker.url,
      BROADCAST_PREFIX: `${randomBytes(4).toString('hex')}.`,
      ...SETTINGS,
    };
    const pair = await startProcesses(environment);
    const mod = await enter(pair.urls[0], { sub: 'mod', moderate: true });
    expect(await mod.ask('room:ban', { user: 'ann' })).toMatchObject({ ok: true });
    await broker.kill();
    await until(
      'it is noticed',
      async () => (await mod.ask('room:ban', { user: 'bob' })).error?.code === 'UNAVAILABLE',
    );
    await broker.start();
    await until('it is back', async () => (await mod.ask('room:ban', { user: 'bob' })).ok);
    const third = await runGateway({ ...environment, INSTANCE_ID: 'gw-3' });
    for (const sub of ['ann', 'bob']) {
      const client = await enter(third.url, { sub });
      expect(await refusalOf(client)).toMatchObject({ error: { code: 'FORBIDDEN' } });
      client.close();
    }
    mod.close();
    await Promise.all([pair.end(), third.end('SIGTERM')]);
    await broker.stop();
  }, 60_000);
});

function refusalOf(client: Client): Promise<Answer> {
  return new Promise((resolve) => {
    client.socket.once('connect_error', (error) => {
      resolve({ ok: false, error: (error as unknown as { data: Answer['error'] }).data });
    });
  });
}
