import type { IncomingHttpHeaders } from 'node:http';
import { ApiKeys } from './api-keys.js';

const API_KEYS = ['the-key-of-the-shop', 'the-key-of-tomorrow'];
const LOCAL = { host: 'localhost:3000' };

function codeOf(keys: ApiKeys, headers: IncomingHttpHeaders, address: string | undefined = '127.0.0.1'): string {
  try {
    keys.check({ headers, address });
    return 'let in';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('API keys', () => {
  it.each([
    ['one of them', `Bearer ${API_KEYS[0]}`, 'let in'],
    ['the other', `bearer   ${API_KEYS[1]}`, 'let in'],
    ['none', undefined, 'UNAUTHENTICATED'],
    ['an empty one', 'Bearer ', 'UNAUTHENTICATED'],
    ['another one', 'Bearer the-key-of-the-shoq', 'UNAUTHENTICATED'],
    ['the beginning of one', 'Bearer the-key-of-the-sho', 'UNAUTHENTICATED'],
    ['both', `Bearer ${API_KEYS.join(',')}`, 'UNAUTHENTICATED'],
    ['another scheme', `Basic ${API_KEYS[0]}`, 'UNAUTHENTICATED'],
    ['something after it', `Bearer ${API_KEYS[0]} x`, 'UNAUTHENTICATED'],
  ])('with %s', (_what, authorization, expected) => {
    expect(codeOf(new ApiKeys({ API_KEYS }), { ...LOCAL, authorization })).toBe(expected);
  });

  it('are not needed on this machine where there are none, but by other pages and behind proxies', () => {
    const keys = new ApiKeys({});
    expect(keys.warning).toContain('this machine only');
    expect(codeOf(keys, LOCAL)).toBe('let in');
    expect(codeOf(keys, LOCAL, '::ffff:127.0.0.1')).toBe('let in');
    expect(codeOf(keys, { ...LOCAL, origin: 'http://localhost:3000' })).toBe('let in');
    expect(codeOf(keys, { ...LOCAL, origin: 'http://localhost:8080' })).toBe('UNAUTHENTICATED');
    expect(codeOf(keys, LOCAL, '10.0.0.7')).toBe('UNAUTHENTICATED');
    expect(codeOf(keys, { host: 'rebound.example.org' })).toBe('UNAUTHENTICATED');
    for (const name of ['origin', 'x-forwarded-for', 'x-real-ip', 'forwarded', 'via']) {
      expect(codeOf(keys, { ...LOCAL, [name]: 'x' })).toBe('UNAUTHENTICATED');
    }
  });

  it('are needed in production', () => {
    const keys = new ApiKeys({ NODE_ENV: 'production' });
    expect(keys.warning).toContain('refuses every request');
    expect(codeOf(keys, LOCAL)).toBe('UNAUTHENTICATED');
    expect(new ApiKeys({ NODE_ENV: 'production', API_KEYS }).warning).toBeUndefined();
  });
});
