/*
 * Whether a token is one of ours, and what it says. Which algorithm may be is a matter of the settings, never of the
 * token: a secret verifies HS256 only, public keys verify signatures only.
 */
import {
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose';
import { createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { RequestError } from '../answer.js';
import { userName } from '../requests.js';
import { issuerKeys } from './keys.js';
import { Patterns, rightClaim, roomsClaim } from './patterns.js';

export interface TokenSettings {
  AUTH_JWT_SECRET?: readonly string[];
  AUTH_JWKS_URL?: string;
  AUTH_JWT_ISSUER?: string;
  AUTH_JWT_AUDIENCE?: string;
}

/** Who somebody is, and what they may do. */
export interface Identity {
  readonly user: string;
  /** Rooms that they may join. */
  readonly rooms: Patterns;
  /** Rooms that they may send to, once they are in. */
  readonly publish: Patterns;
  /** Rooms that they moderate. */
  readonly moderate: Patterns;
  /** When it ends, in ms since 1970. */
  readonly expiresAt?: number;
}

/** How far clocks may be apart, in seconds. */
const TOLERANCE = 5;
/** Longest token, in characters: proxies take no longer headers. */
const MAX_LENGTH = 8_192;
const SHARED = ['HS256'];
const PUBLIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];

const claims = z.object({
  sub: userName,
  exp: z.number('a time in seconds').optional(),
  rooms: roomsClaim.default(['*']),
  publish: rightClaim.default(true),
  moderate: rightClaim.default(false),
});

export class Tokens {
  readonly #secrets: readonly KeyObject[];
  readonly #issuer?: JWTVerifyGetKey;
  readonly #algorithms: readonly string[];
  readonly #options: JWTVerifyOptions;

  constructor({ AUTH_JWT_SECRET = [], AUTH_JWKS_URL, AUTH_JWT_ISSUER, AUTH_JWT_AUDIENCE }: TokenSettings) {
    this.#secrets = AUTH_JWT_SECRET.map((secret) => createSecretKey(secret, 'utf8'));
    if (AUTH_JWKS_URL !== undefined) this.#issuer = issuerKeys(AUTH_JWKS_URL);
    this.#algorithms = [...(this.#secrets.length > 0 ? SHARED : []), ...(this.#issuer ? PUBLIC : [])];
    this.#options = {
      clockTolerance: TOLERANCE,
      ...(AUTH_JWT_ISSUER !== undefined && { issuer: AUTH_JWT_ISSUER }),
      ...(AUTH_JWT_AUDIENCE !== undefined && { audience: AUTH_JWT_AUDIENCE }),
    };
  }

  /** Whether there is any key to verify tokens with. */
  get configured(): boolean {
    return this.#algorithms.length > 0;
  }

  /** @throws RequestError through the promise: `UNAUTHENTICATED`, saying why; `UNAVAILABLE` without the issuer's keys */
  async verify(token: unknown): Promise<Identity> {
    if (!this.configured) throw refused('no tokens are taken here: come without one');
    if (typeof token !== 'string' || token === '') throw refused('expected a token: a text');
    if (token.length > MAX_LENGTH) throw refused(`it is longer than ${MAX_LENGTH} characters`);
    const { success, data, error } = claims.safeParse(await this.#payload(token));
    if (!success) {
      const [{ path, message }] = error.issues as [z.core.$ZodIssue];
      throw refused(`its claim ${path[0] === undefined ? '' : String(path[0])} is wrong: expected ${message}`);
    }
    const { sub, exp, rooms, publish, moderate } = data;
    return {
      user: sub,
      rooms: new Patterns(rooms),
      publish: new Patterns(publish),
      moderate: new Patterns(moderate),
      ...(exp !== undefined && { expiresAt: (exp + TOLERANCE) * 1_000 }),
    };
  }

  async #payload(token: string): Promise<JWTPayload> {
    try {
      const { alg = 'nothing' } = decodeProtectedHeader(token);
      if (!this.#algorithms.includes(alg)) {
        const expected = this.#issuer ? 'a key of its issuer' : SHARED[0];
        throw refused(`it is signed with ${JSON.stringify(String(alg).slice(0, 16))}: expected ${expected}`);
      }
      const options = { ...this.#options, algorithms: [alg] };
      return SHARED.includes(alg) ? await this.#bySecret(token, options) : await this.#byIssuer(token, options);
    } catch (error) {
      throw error instanceof RequestError ? error : refused(reasonOf(error));
    }
  }

  async #bySecret(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    let failure: unknown;
    for (const secret of this.#secrets) {
      try {
        return (await jwtVerify(token, secret, options)).payload;
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #byIssuer(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, this.#issuer!, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // A token that names no key, while its issuer exchanges one for another.
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (wrong) {
          if (!(wrong instanceof errors.JWSSignatureVerificationFailed)) throw wrong;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }
}

function refused(why: string): RequestError {
  return new RequestError('UNAUTHENTICATED', `the token is refused: ${why}`);
}

/** Never what is in the token. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'it has expired: get a new one';
  if (error instanceof errors.JWTClaimValidationFailed) return ofClaim(error.claim);
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature is wrong';
  if (error instanceof errors.JWKSNoMatchingKey) return 'its issuer shows no key of that name and kind';
  return 'it is not a signed JSON Web Token';
}

function ofClaim(claim: string): string {
  switch (claim) {
    case 'nbf':
      return 'it is not valid yet';
    case 'iss':
      return 'it is of another issuer';
    case 'aud':
      return 'it is for another audience';
    default:
      return `its claim ${claim} is wrong`;
  }
}
