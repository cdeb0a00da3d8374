/*
 * Who is let in, what a token allows, and what happens when it ends: over two gateways on each transport.
 */
import { until } from '@app/broadcast/testing';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pairs, type Pair } from './pair.js';
import { Client, endAll, runNode } from './processes.js';

const AUTH_JWT_SECRET = 'the secret of all the gateways of this case';
const key = new TextEncoder().encode(AUTH_JWT_SECRET);
const now = () => Math.floor(Date.now() / 1_000);

function token(claims: JWTPayload): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(key);
}

async function signedByPair(claims: JWTPayload): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256');
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
}

/** Well signed, with claims that become those of the token only if they are copied carelessly. */
async function withPrototype(): Promise<object> {
  const claims = JSON.parse('{"iss":"https://us","__proto__":{"sub":"eve"},"constructor":{"sub":"eve"}}') as JWTPayload;
  return { token: await token(claims) };
}

afterAll(endAll);

describe.each(pairs)('access to two gateways over %s', (_transport, start) => {
  const clients: Client[] = [];
  let pair: Pair;

  beforeAll(async () => {
    pair = await start({ AUTH_JWT_SECRET, AUTH_ANONYMOUS: 'true', AUTH_JWT_ISSUER: 'https://us' });
  });
  afterEach(() => clients.splice(0).forEach((client) => client.close()));
  afterAll(() => pair.end());

  async function enter(gateway: 0 | 1, claims: JWTPayload): Promise<Client> {
    return enterBy(gateway, { token: await token({ iss: 'https://us', ...claims }) });
  }

  function enterBy(gateway: 0 | 1, auth: object): Client {
    const client = new Client(pair.urls[gateway], undefined, { auth });
    clients.push(client);
    return client;
  }

  it('is in the name of the token, whatever else is said', async () => {
    const ann = await enter(0, { sub: 'ann' });
    const bob = enterBy(1, { token: await token({ iss: 'https://us', sub: 'bob' }), user: 'eve' });
    await Promise.all([ann.join('r'), bob.join('r')]);
    await bob.say('r', 'hello');
    await until('ann hears bob', () => ann.heard.length > 0);
    expect(ann.heard[0]).toMatchObject({ data: 'hello', meta: { from: 'bob' } });
  });

  it.each<[string, () => Promise<object> | object]>([
    ['of another issuer', async () => ({ token: await token({ sub: 'ann', iss: 'https://them' }) })],
    ['that has expired', async () => ({ token: await token({ sub: 'ann', iss: 'https://us', exp: now() - 60 }) })],
    ['that is not valid yet', async () => ({ token: await token({ sub: 'ann', iss: 'https://us', nbf: now() + 60 }) })],
    ['without a signature', () => ({ token: new UnsecuredJWT({ sub: 'ann', iss: 'https://us' }).encode() })],
    [
      'of a key pair, where there is a secret',
      async () => ({ token: await signedByPair({ sub: 'ann', iss: 'https://us' }) }),
    ],
    ['whose user is in its prototype', () => withPrototype()],
    ['that is none', () => ({ token: 'x' })],
    ['that is missing, for the name of somebody', () => ({ user: 'ann' })],
  ])('is refused with a token %s', async (_what, auth) => {
    for (const gateway of [0, 1] as const) {
      const error = await refusal(enterBy(gateway, await auth()));
      expect(error).toMatchObject({ code: 'UNAUTHENTICATED', message: expect.any(String) });
    }
  });

  it('is open to guests, who are known as such', async () => {
    const [guest, named] = [enterBy(0, {}), enterBy(1, { user: 'guest-7' })];
    await Promise.all([guest.join('g'), named.join('g')]);
    await Promise.all([guest.say('g', 1), named.say('g', 2)]);
    await until('both are heard', () => named.heard.length === 2);
    const from = new Map(named.heard.map(({ data, meta }) => [data, meta!.from]));
    expect([from.get(1), from.get(2)]).toEqual([expect.stringMatching(/^guest-[\da-f]{8}$/), 'guest-7']);
  });

  it('is to the rooms that the token names', async () => {
    const claims = { sub: 'ann', rooms: ['support:*', 'lobby'], publish: ['support:*'] };
    for (const gateway of [0, 1] as const) {
      const ann = await enter(gateway, claims);
      expect(await ann.ask('room:join', { room: 'private' })).toMatchObject({
        ok: false,
        error: { code: 'FORBIDDEN' },
      });
      await ann.join('support:1');
      await ann.join('lobby');
      expect(await ann.say('support:1', 'x')).toMatchObject({ ok: true });
      expect(await ann.say('lobby', 'x')).toMatchObject({ ok: false, error: { code: 'FORBIDDEN' } });
    }
  });

  it('goes on with a fresh token, for which the client is asked, and ends without one', async () => {
    const exp = now() + 4;
    const [ann, bob] = [await enter(0, { sub: 'ann', exp }), await enter(1, { sub: 'bob', exp })];
    await Promise.all([ann.join('x'), ann.join('y'), bob.join('x')]);
    await until('both are asked', () => [ann, bob].every((each) => each.dataOf('server:reauth').length > 0), 15_000);
    const [asked] = ann.dataOf('server:reauth') as { expiresAt: number; graceMs: number }[];
    expect(asked).toEqual({ expiresAt: (exp + 5) * 1_000, graceMs: expect.any(Number) });
    expect(asked!.graceMs).toBeLessThan(9_000);

    const renew = async (claims: JWTPayload) =>
      ann.ask('auth:renew', { token: await token({ iss: 'https://us', exp: now() + 600, ...claims }) });
    expect(await renew({ sub: 'eve' })).toMatchObject({ ok: false, error: { code: 'UNAUTHENTICATED' } });
    expect(await renew({ sub: 'ann', exp: now() - 60 })).toMatchObject({ error: { code: 'UNAUTHENTICATED' } });
    expect(await ann.ask('auth:renew', {})).toMatchObject({ error: { code: 'BAD_REQUEST' } });
    expect(await renew({ sub: 'ann', rooms: ['x'] })).toEqual({ ok: true, expiresAt: expect.any(Number) });
    expect(ann.dataOf('room:closed')).toEqual([
      { room: 'y', reason: 'token', message: 'the new token does not allow this room' },
    ]);
    expect(await ann.say('y', 'x')).toMatchObject({ error: { code: 'NOT_IN_ROOM' } });

    await until('bob is told, and closed', () => !bob.socket.connected, 15_000);
    expect(bob.dataOf('server:closed')).toEqual([{ code: 'UNAUTHENTICATED', message: expect.any(String) }]);
    expect(await ann.say('x', 'still here')).toMatchObject({ ok: true });
    expect(ann.dataOf('server:reauth')).toHaveLength(1);
  });

  it('leaves no token in what is printed', () => {
    expect(pair.output()).not.toMatch(/eyJ|the secret of all/);
  });
});

describe('the keys of an issuer', () => {
  it('are exchanged without a restart', async () => {
    const pair = async (kid: string) => {
      const { publicKey, privateKey } = await generateKeyPair('ES256');
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' };
      return { jwk, sign: () => new SignJWT({ sub: kid }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey) };
    };
    const [old, next] = [await pair('old'), await pair('next')];
    let keys = [old.jwk];
    const issuer = createServer((_request, response) => response.end(JSON.stringify({ keys })));
    await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
    const AUTH_JWKS_URL = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`;
    const gateways = await pairs[0]![1]({ AUTH_JWKS_URL, AUTH_ANONYMOUS: 'false' });
    const enter = async (signed: string) => {
      const client = new Client(gateways.urls[0], undefined, { auth: { token: signed }, reconnection: false });
      const code = await Promise.race([
        refusal(client).then(({ code }) => code),
        new Promise<string>((resolve) => client.socket.once('connect', () => resolve('ok'))),
      ]);
      client.close();
      return code;
    };
    try {
      expect(await enter(await old.sign())).toBe('ok');
      expect(await enter(await next.sign())).toBe('UNAUTHENTICATED');
      keys = [next.jwk];
      await until('the next key is taken', async () => (await enter(await next.sign())) === 'ok', 15_000);
      expect(await enter(await old.sign())).toBe('UNAUTHENTICATED');
      issuer.close();
      issuer.closeAllConnections();
      expect(await enter(await next.sign())).toBe('ok');
      expect((await refusal(new Client(gateways.urls[1], undefined, { auth: {} }))).code).toBe('UNAUTHENTICATED');
    } finally {
      issuer.close();
      await gateways.end();
    }
  });
});

describe('the settings of access', () => {
  it('are shown without secrets', async () => {
    const app = runNode(['dist/apps/gateway/src/main.js', '--check-config'], {
      NODE_ENV: 'production',
      AUTH_JWT_SECRET: `${AUTH_JWT_SECRET},${AUTH_JWT_SECRET}2`,
      AUTH_JWKS_URL: 'https://user:hush@example.org/keys',
    });
    expect(await app.end()).toBe(0);
    expect(app.output()).not.toMatch(/the secret|hush/);
    expect(JSON.parse(app.output())).toMatchObject({ AUTH_JWT_SECRET: '***,***', AUTH_ANONYMOUS: false });
  });
});

function refusal(client: Client): Promise<{ code: string; message: string; retryAfter?: number }> {
  return new Promise((resolve) => {
    client.socket.once('connect_error', (error) =>
      resolve((error as unknown as { data: { code: string; message: string } }).data),
    );
  });
}
