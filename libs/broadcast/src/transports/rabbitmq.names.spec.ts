import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { brokerNames, escapeName, routingKey } from './rabbitmq.names.js';

describe('routing keys', () => {
  it.each([
    ['room:123', 'room.123'],
    ['room:chat:a.b@c-d_e', 'room.chat:a.b@c-d_e'],
    ['room:', 'room.'],
    ['room:#', 'room.%23'],
    ['room:*.50%', 'room.%2A.50%25'],
    ['room:Zürich', 'room.Zürich'],
    ['room:\ud800', 'room.%uD800'],
    ['all', 'all'],
    ['instance:gw-1', 'instance.gw-1'],
  ] as const)('%j is %j', (channel, key) => {
    expect(routingKey(channel)).toBe(key);
  });

  it('keep 200 bytes as they are, and hash what is longer', () => {
    expect(escapeName('é'.repeat(100))).toBe('é'.repeat(100));
    expect(escapeName('é'.repeat(100) + 'x')).toBe(
      '%~644b20a4f53fdc59ed638d6b36e2a43d8c5c2a79c61aa345b24841288bc0b243',
    );
  });

  it('fit in a key, mean themselves alone, and differ between rooms', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ unit: fc.constantFrom('%', '*', '#', '~', '2', 'A', 'u', 'D', '8', '0', '\ud800', '\udc00') }),
    );
    fc.assert(
      fc.property(name, name, (a, b) => {
        const key = escapeName(a);
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(200);
        expect(key).not.toMatch(/[*#]/);
        expect(Buffer.from(key).toString()).toBe(key);
        expect(key === escapeName(b)).toBe(a === b);
      }),
    );
  });
});

describe('names at the broker', () => {
  it('all carry the prefix', () => {
    expect(brokerNames('eu.', 'gw-1', '0a1b')).toEqual({
      rooms: 'eu.live_rooms',
      log: 'eu.live_rooms.log',
      records: 'eu.live_rooms.records',
      control: 'eu.roomcast',
      queue: 'eu.live_rooms.i.gw-1.0a1b',
      deadLetterExchange: 'eu.live_rooms.dlx',
      deadLetters: 'eu.live_rooms.dead',
    });
  });
});
