import fc from 'fast-check';
import { ulid } from './ulid.js';

const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });

describe('an id', () => {
  it('has 26 characters, none of them easily mistaken for another', () => {
    expect(ulid()).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  it.each([
    [0, '0000000000'],
    [1469918176385, '01ARYZ6S41'],
    [2 ** 48 - 1, '7ZZZZZZZZZ'],
  ])('begins with its time: %i is %s', (at, beginning) => {
    expect(ulid(at).slice(0, 10)).toBe(beginning);
  });

  it('sorts by its time', () => {
    fc.assert(
      fc.property(time, time, (one, other) => {
        fc.pre(one !== other);
        expect(ulid(one) < ulid(other)).toBe(one < other);
      }),
    );
  });

  it('is made once, also within a millisecond', () => {
    expect(new Set(Array.from({ length: 10_000 }, () => ulid(0))).size).toBe(10_000);
  });
});
