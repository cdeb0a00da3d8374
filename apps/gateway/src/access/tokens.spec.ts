import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Tokens, type TokenSettings } from './tokens.js';

const secret = 'a secret that is longer than 32 characters';
const older = 'another secret of more than 32 characters';
const now = () => Math.floor(Date.now() / 1_000);

function sign(claims: JWTPayload, key = secret, alg = 'HS256'): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(key));
}

function verify(token: unknown, settings: TokenSettings = { AUTH_JWT_SECRET: [secret, older] }) {
  return new Tokens(settings).verify(token);
}

describe('a token', () => {
  it('says who somebody is, what they may do, and until when', async () => {
    const exp = now() + 60;
    const claims = { sub: 'ann', exp, rooms: ['support:*', 'lobby'], publish: ['lobby'], moderate: false };
    const { user, rooms, publish, moderate, expiresAt } = await verify(await sign(claims));
    expect([user, expiresAt]).toEqual(['ann', (exp + 5) * 1_000]);
    expect(['support:1', 'lobby', 'lobby2', 'suppor'].map((room) => rooms.match(room))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([publish.match('lobby'), publish.match('support:1'), moderate.match('lobby')]).toEqual([true, false, false]);
  });

  it('without claims is somebody who may join and send everywhere, and moderates nowhere', async () => {
    const { rooms, publish, moderate, expiresAt } = await verify(await sign({ sub: 'ann' }));
    expect([rooms.all, publish.all, moderate.match('x'), expiresAt]).toEqual([true, true, false, undefined]);
  });

  it('is taken by any of several secrets', async () => {
    expect((await verify(await sign({ sub: 'ann' }, older))).user).toBe('ann');
  });

  const hs256 = 'expected HS256';
  it.each<[what: string, token: () => unknown, why: string]>([
    [
      'another secret',
      () => sign({ sub: 'ann' }, 'a third secret of more than 32 characters'),
      'its signature is wrong',
    ],
    ['another algorithm', () => sign({ sub: 'ann' }, secret.repeat(2), 'HS512'), hs256],
    ['no algorithm', () => new UnsecuredJWT({ sub: 'ann' }).encode(), hs256],
    ['an algorithm of the attacker', () => forged({ alg: 'x'.repeat(500) }), hs256],
    ['an algorithm that is no text', () => forged({ alg: { toString: 'HS256' } }), 'is refused'],
    ['a public key in the place of the secret', () => publicKeyAsSecret(), 'its signature is wrong'],
    ['a key pair’s key', () => signedByPair(), hs256],
    ['a changed payload', async () => changed(await sign({ sub: 'ann' })), 'its signature is wrong'],
    ['an end that is over', () => sign({ sub: 'ann', exp: now() - 60 }), 'it has expired'],
    ['a beginning that is to come', () => sign({ sub: 'ann', nbf: now() + 60 }), 'it is not valid yet'],
    ['no user', () => sign({}), 'its claim sub is wrong'],
    ['a user that cannot be', () => sign({ sub: 'a b' }), 'its claim sub is wrong'],
    ['rooms that are a text', () => sign({ sub: 'ann', rooms: '*' }), 'its claim rooms is wrong'],
    ['a star within a room', () => sign({ sub: 'ann', rooms: ['a*b'] }), 'its claim rooms is wrong'],
    ['too many rooms', () => sign({ sub: 'ann', rooms: Array(101).fill('x') as string[] }), 'its claim rooms is wrong'],
    ['a right that is a number', () => sign({ sub: 'ann', moderate: 1 }), 'its claim moderate is wrong'],
    ['a length of its own', () => 'x'.repeat(8_193), 'it is longer than 8192 characters'],
    ['no form', () => 'x.y', 'it is not a signed JSON Web Token'],
    ['five parts', () => 'a.b.c.d.e', 'it is not a signed JSON Web Token'],
    ['another kind', () => 42, 'expected a token'],
    ['nothing', () => '', 'expected a token'],
  ])('with %s is refused, with a reason', async (_what, token, why) => {
    const given = await token();
    const error = (await verify(given).catch((thrown: unknown) => thrown)) as { code: string; message: string };
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED', message: expect.stringContaining(why) });
    expect(error.message.length).toBeLessThan(200);
  });

  it('is refused where none is taken', async () => {
    await expect(verify(await sign({ sub: 'ann' }), {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('has to be of the issuer and for the audience that are set', async () => {
    const settings = { AUTH_JWT_SECRET: [secret], AUTH_JWT_ISSUER: 'https://us', AUTH_JWT_AUDIENCE: 'rooms' };
    const [iss, aud] = ['https://us', 'rooms'];
    expect((await verify(await sign({ sub: 'ann', iss, aud }), settings)).user).toBe('ann');
    for (const [claims, why] of [
      [{ iss: 'https://them', aud }, 'of another issuer'],
      [{ aud }, 'of another issuer'],
      [{ iss, aud: 'mail' }, 'for another audience'],
      [{ iss }, 'for another audience'],
    ] as const) {
      const token = await sign({ sub: 'ann', ...claims });
      await expect(verify(token, settings)).rejects.toMatchObject({ message: expect.stringContaining(why) });
    }
  });
});

describe('the keys of an issuer', () => {
  let keys: object[] = [];
  let fetches = 0;
  let status = 200;
  let server: Server;
  let AUTH_JWKS_URL: string;

  beforeAll(async () => {
    server = createServer((_request, response) => {
      fetches++;
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ keys }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    AUTH_JWKS_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  });
  beforeEach(() => {
    keys = [];
    fetches = 0;
    status = 200;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  async function issuerKey(alg: string, kid?: string) {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    keys.push({ ...(await exportJWK(publicKey)), alg, use: 'sig', ...(kid && { kid }) });
    return (claims: JWTPayload) =>
      new SignJWT(claims).setProtectedHeader({ alg, ...(kid && { kid }) }).sign(privateKey);
  }

  it.each(['RS256', 'ES256', 'EdDSA'])('verify tokens by %s, and are fetched once', async (alg) => {
    const signed = await issuerKey(alg, 'k1');
    const tokens = new Tokens({ AUTH_JWKS_URL });
    for (const sub of ['ann', 'bob']) expect((await tokens.verify(await signed({ sub }))).user).toBe(sub);
    expect(fetches).toBe(1);
  });

  it('are tried one after the other for a token that names none', async () => {
    const signers = [await issuerKey('ES256'), await issuerKey('ES256')];
    const tokens = new Tokens({ AUTH_JWKS_URL });
    for (const signed of signers) expect((await tokens.verify(await signed({ sub: 'ann' }))).user).toBe('ann');
  });

  it('are not fetched for every key that a stranger makes up', async () => {
    await issuerKey('ES256', 'k1');
    const tokens = new Tokens({ AUTH_JWKS_URL });
    const [own] = keys.splice(0);
    const stranger = await issuerKey('ES256', 'k2');
    keys = [own!];
    for (let i = 0; i < 5; i++) {
      const verified = tokens.verify(await stranger({ sub: 'eve' }));
      await expect(verified).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect(fetches).toBe(1);
  });

  it('are fetched again although strangers name one that is damaged', async () => {
    const tokens = new Tokens({ AUTH_JWKS_URL });
    const own = await issuerKey('ES256', 'k1');
    const damaged = await issuerKey('ES256', 'k2');
    Object.assign(keys[1]!, { x: (keys[0] as { x: string }).x });
    expect((await tokens.verify(await own({ sub: 'ann' }))).user).toBe('ann');
    const later = await issuerKey('ES256', 'k3');
    const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 6_000);
    try {
      await expect(tokens.verify(await damaged({ sub: 'eve' }))).rejects.toThrow();
      expect((await tokens.verify(await later({ sub: 'bob' }))).user).toBe('bob');
    } finally {
      now.mockRestore();
    }
  });

  it('do not verify what is signed by a secret', async () => {
    await issuerKey('RS256', 'k1');
    const token = await sign({ sub: 'eve' }, JSON.stringify(keys[0]));
    const verified = verify(token, { AUTH_JWKS_URL });
    await expect(verified).rejects.toMatchObject({ message: expect.stringContaining('expected a key of its issuer') });
    expect(fetches).toBe(0);
  });

  it('that cannot be had refuse nobody for good, and are not asked for again at once', async () => {
    const signed = await issuerKey('ES256', 'k1');
    status = 500;
    const tokens = new Tokens({ AUTH_JWKS_URL });
    for (let i = 0; i < 3; i++) {
      const verified = tokens.verify(await signed({ sub: 'ann' }));
      await expect(verified).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfter: expect.any(Number) });
    }
    expect(fetches).toBe(1);
  });

  it('may stand beside secrets', async () => {
    const signed = await issuerKey('ES256', 'k1');
    const tokens = new Tokens({ AUTH_JWKS_URL, AUTH_JWT_SECRET: [secret] });
    expect((await tokens.verify(await sign({ sub: 'ann' }))).user).toBe('ann');
    expect((await tokens.verify(await signed({ sub: 'bob' }))).user).toBe('bob');
  });
});

function forged(header: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part({ sub: 'ann', exp: 'never' })}.${part({})}`;
}

function changed(token: string): string {
  const [header, , signature] = token.split('.');
  return `${header}.${Buffer.from('{"sub":"eve"}').toString('base64url')}.${signature}`;
}

async function signedByPair(): Promise<string> {
  const { privateKey } = await generateKeyPair('RS256');
  return new SignJWT({ sub: 'eve' }).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
}

async function publicKeyAsSecret(): Promise<string> {
  const { publicKey } = await generateKeyPair('RS256');
  return sign({ sub: 'eve' }, JSON.stringify(await exportJWK(publicKey)));
}
