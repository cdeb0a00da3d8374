/*
 * The keys that tokens are signed with: secrets of our own, and the public keys that an issuer shows at an address. Those
 * are fetched when they are needed, kept for a while, and fetched again for a key that is not among them.
 */
import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import { RequestError } from '../answer.js';

/** How long fetched keys are taken for new, in ms: one that is revoked is taken for so much longer. */
const MAX_AGE = 10 * 60_000;
/** Time between two fetches for keys that are not there, in ms: strangers can name any key. */
const COOLDOWN = 5_000;
/** Longest fetch, in ms. */
const TIMEOUT = 5_000;

/** @throws through the promise: RequestError `UNAVAILABLE` when no keys can be had, errors of jose for an unknown key */
export function issuerKeys(url: string): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: MAX_AGE,
    cooldownDuration: COOLDOWN,
    timeoutDuration: TIMEOUT,
  });
  let failedAt = -Infinity;
  /** Those of before, where the issuer does not answer: an outage there does not lock everybody out here. */
  const kept: JWTVerifyGetKey = (header, token) => {
    const keys = remote.jwks();
    if (keys) return createLocalJWKSet(keys)(header, token);
    throw new RequestError('UNAVAILABLE', 'the keys of the issuer of tokens cannot be read now: try again', COOLDOWN);
  };
  return async (header, token) => {
    if (performance.now() - failedAt < COOLDOWN) return kept(header, token);
    try {
      return await remote(header, token);
    } catch (error) {
      if (isAboutTheToken(error)) throw error;
      const before = failedAt;
      failedAt = performance.now();
      try {
        return await kept(header, token);
      } catch (again) {
        // A key that is damaged itself is no reason to take the issuer for gone: strangers could name it all the time.
        if (!isAboutTheToken(again) && !(again instanceof RequestError)) failedAt = before;
        throw again;
      }
    }
  };
}

function isAboutTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKInvalid
  );
}
