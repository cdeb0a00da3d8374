import { policyOf } from './policy.js';

function socketsOf(panes: string, { host = '127.0.0.1:3000', origins = [] as string[] } = {}): string[] {
  const policy = policyOf({ host, panes, origins });
  const [, sources = ''] = /connect-src 'self' ?([^;]*);/.exec(policy) ?? [];
  return sources.split(' ').filter((source) => source.startsWith('ws:'));
}

describe('the policy of the page', () => {
  it('lets it talk to this gateway', () => {
    expect(socketsOf('')).toEqual(['ws://127.0.0.1:3000']);
  });

  it.each([
    ['3001', 'ws://127.0.0.1:3001'],
    ['127.0.0.1:3001', 'ws://127.0.0.1:3001'],
    ['http://127.0.0.1:3001', 'ws://127.0.0.1:3001'],
    [' http://localhost:3001/path?x=1#y ', 'ws://localhost:3001'],
  ])('lets it talk to another port of this host: %s', (panes, source) => {
    expect(socketsOf(panes)).toEqual(['ws://127.0.0.1:3000', source]);
  });

  it.each([
    'http://evil.example',
    'evil.example',
    'http://127.0.0.1:3001@evil.example',
    'http://127.0.0.1.evil.example',
    "x; script-src 'unsafe-inline'",
    'javascript:alert(1)',
    '99999',
    'http://127.0.0.1:3001 *',
  ])('lets it talk to nobody else: %s', (panes) => {
    expect(socketsOf(panes)).toEqual(['ws://127.0.0.1:3000']);
    expect(policyOf({ host: 'a', panes, origins: [] })).not.toMatch(/unsafe|\*|evil/);
  });

  it('lets it talk to origins that are trusted, and from a host of its own to no loopback', () => {
    const host = 'chat.example.org';
    expect(socketsOf('https://b.example.org,127.0.0.1:1', { host, origins: ['https://b.example.org'] })).toEqual([
      'ws://chat.example.org',
      'ws://b.example.org',
    ]);
  });

  it.each(['', 'a b', 'x;y', '*'])('says nothing of a host that is none: %s', (host) => {
    expect(policyOf({ host, panes: '3001', origins: [] })).toContain("connect-src 'self';");
  });
});
