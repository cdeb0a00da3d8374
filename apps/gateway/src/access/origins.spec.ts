import type { IncomingMessage } from 'node:http';
import { checkOrigin } from './origins.js';

function isAllowed(trusted: string[], origin?: string, host = 'chat.example.org:3000'): boolean {
  let allowed: boolean | undefined;
  checkOrigin(trusted)({ headers: { origin, host } } as IncomingMessage, (_problem, is) => (allowed = is));
  return allowed!;
}

describe('a connection of a page', () => {
  it.each([
    ['whoever is no browser', undefined, true],
    ['a page that is trusted', 'https://shop.example.org', true],
    ['a page of the gateway itself, on another port', 'http://chat.example.org:3001', true],
    ['a page of somebody else', 'https://evil.example', false],
    ['a page whose name begins alike', 'https://shop.example.org.evil.example', false],
    ['a page over another scheme', 'http://shop.example.org', false],
    ['a page in a sandbox', 'null', false],
    ['no origin at all', '', false],
  ])('of %s', (_what, origin, expected) => {
    expect(isAllowed(['https://shop.example.org'], origin)).toBe(expected);
  });

  it('is not asked about where nobody is named, or everybody', () => {
    for (const trusted of [[], ['*'], ['https://a.org', '*']])
      expect(isAllowed(trusted, 'https://evil.example')).toBe(true);
  });

  it('is refused without a host to compare it with', () => {
    for (const host of ['', 'a b']) expect(isAllowed(['https://a.org'], 'null', host)).toBe(false);
  });
});
