import { readEnvironment } from '@app/broadcast';
import type { Session } from '../sessions.js';
import { Sessions } from '../sessions.js';
import { addressOf } from './address.js';
import { Buckets } from './buckets.js';
import { LimitsService } from './limits.service.js';
import { TokenBucket } from './token-bucket.js';

const limit = { count: 2, per: 1_000 };

describe('a token bucket', () => {
  it('gives as many as there are at once, and then one whenever one has come', () => {
    const bucket = new TokenBucket(limit, 0);
    expect([0, 0, 0].map((now) => bucket.take(now))).toEqual([0, 0, 500]);
    expect(bucket.take(250)).toBe(250);
    expect([bucket.take(500), bucket.take(500)]).toEqual([0, 500]);
  });

  it('never holds more than it is made for', () => {
    const bucket = new TokenBucket(limit, 0);
    bucket.giveBack();
    expect([60_000, 60_000, 60_000].map((now) => bucket.take(now))).toEqual([0, 0, 500]);
  });

  it('does not mind a clock that stands still or goes back', () => {
    const bucket = new TokenBucket(limit, 1_000);
    expect([1_000, 1_000].map((now) => bucket.take(now))).toEqual([0, 0]);
    expect(bucket.take(900)).toBeGreaterThan(0);
  });
});

describe('buckets', () => {
  it('are one for each name, and forgotten when they are full again', () => {
    const buckets = new Buckets(limit);
    for (let i = 0; i < 1_000; i++) buckets.of(`user ${i}`, 20_000).take(20_000);
    const busy = buckets.of('busy', 20_000);
    expect(buckets.size).toBe(1_001);
    for (const now of [30_500, 30_500]) busy.take(now);
    expect(buckets.of('busy', 30_501)).toBe(busy);
    expect(buckets.size).toBe(1);
  });
});

describe('the address that is counted', () => {
  const from = (address: string, forwarded?: string | string[]) => ({
    address,
    headers: { 'x-forwarded-for': forwarded },
  });

  it.each([
    ['is that of the connection', from('192.0.2.1', '198.51.100.1'), 0, '192.0.2.1'],
    ['is the same in version 6', from('::ffff:192.0.2.1'), 0, '192.0.2.1'],
    ['is the one that the proxy has seen', from('10.0.0.1', '203.0.113.9, 198.51.100.1'), 1, '198.51.100.1'],
    [
      'is the one that the farther proxy has seen',
      from('10.0.0.1', ['203.0.113.9', '198.51.100.1,10.0.0.2']),
      2,
      '198.51.100.1',
    ],
    ['is that of the proxy, if it says none', from('10.0.0.1'), 1, '10.0.0.1'],
    ['is that of the proxy, if it says nonsense', from('10.0.0.1', 'x'.repeat(9_999)), 1, '10.0.0.1'],
    ['is a network in version 6', from('2001:db8:1:2:3:4:5:6'), 0, '2001:db8:1:2'],
    ['is a network in version 6, however it is written', from('2001:db8::5:6'), 0, '2001:db8:0:0'],
    ['is this machine', from('::1'), 0, '0:0:0:0'],
  ])('%s', (_what, handshake, proxies, expected) => {
    expect(addressOf(handshake, proxies)).toBe(expected);
  });
});

describe('limits', () => {
  const session = {} as Session;

  it('count what they refuse, by reason, and say when to try again', async () => {
    const settings = readEnvironment({ RATE_LIMIT: '1/s', JOIN_LIMIT: '1/s', HANDSHAKE_RATE: '1/10s' });
    const limits = new LimitsService(settings, new Sessions());
    limits.request(session);
    limits.join(session);
    const refused = { code: 'RATE_LIMITED', retryAfter: expect.any(Number) };
    expect(() => limits.request(session)).toThrow(expect.objectContaining(refused));
    expect(() => limits.join(session)).toThrow(expect.objectContaining(refused));
    const handshake = { address: '192.0.2.1', headers: {} };
    await limits.handshake(handshake);
    await expect(limits.handshake(handshake)).rejects.toMatchObject(refused);
    await limits.handshake({ ...handshake, address: '192.0.2.2' });
    expect(limits.counts).toMatchObject({
      socket: 1,
      joins: 1,
      handshakes: 1,
      connections: 0,
    });
  });

  it('do not hold against a user what a room was too busy for', () => {
    const settings = readEnvironment({ RATE_LIMIT_USER: '2/h', RATE_LIMIT_ROOM: '1/h' });
    const limits = new LimitsService(settings, new Sessions());
    limits.message('ann', 'a');
    expect(() => limits.message('ann', 'a')).toThrow('room a');
    limits.message('ann', 'b');
    expect(() => limits.message('ann', 'c')).toThrow('ann says too much');
  });

  it('can all be off', async () => {
    const names = [
      'RATE_LIMIT',
      'RATE_LIMIT_USER',
      'RATE_LIMIT_ROOM',
      'JOIN_LIMIT',
      'HANDSHAKE_RATE',
      'MAX_CONNECTIONS',
    ];
    const limits = new LimitsService(
      readEnvironment(Object.fromEntries(names.map((name) => [name, 'off']))),
      new Sessions(),
    );
    for (let i = 0; i < 2_000; i++) {
      limits.request(session);
      limits.join(session);
      limits.message('ann', 'a');
      await limits.handshake({ address: '192.0.2.1', headers: {} });
    }
    expect(Object.values(limits.counts).every((count) => count === 0)).toBe(true);
  });
});
