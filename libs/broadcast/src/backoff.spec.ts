import fc from 'fast-check';
import { backoff } from './backoff.js';

describe('the wait before an attempt', () => {
  it.each([
    [0, 100],
    [1, 200],
    [2, 400],
    [6, 6_400],
    [7, 10_000],
    [8, 10_000],
    [5_000, 10_000],
  ])('number %i is anywhere between 0 and %i ms', (attempt, most) => {
    expect(backoff(attempt, { random: () => 0 })).toBe(0);
    expect(backoff(attempt, { random: () => 0.5 })).toBe(most / 2);
    expect(backoff(attempt, { random: () => 1 - Number.EPSILON })).toBe(most - 1);
  });

  it('never leaves its bounds, whatever they are', () => {
    const bounds = { base: fc.integer({ min: 0, max: 1e6 }), max: fc.integer({ min: 0, max: 1e6 }) };
    fc.assert(
      fc.property(fc.nat(), fc.record(bounds), (attempt, { base, max }) => {
        const wait = backoff(attempt, { base, max });
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('differs from one instance to the next', () => {
    expect(new Set(Array.from({ length: 100 }, () => backoff(7))).size).toBeGreaterThan(50);
  });
});
