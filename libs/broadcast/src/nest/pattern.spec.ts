import fc from 'fast-check';
import { matches } from './pattern.js';

/** The definition, word by word: slow, and plainly right. */
function naive([word, ...pattern]: string[], subject: string[]): boolean {
  if (word === undefined) return subject.length === 0;
  if (word === '#') return subject.some((_, i) => naive(pattern, subject.slice(i))) || naive(pattern, []);
  return subject.length > 0 && (word === '*' || word === subject[0]) && naive(pattern, subject.slice(1));
}

describe('a pattern', () => {
  it.each([
    ['room.opened', 'room.opened', true],
    ['room.opened', 'room.closed', false],
    ['room.*', 'room.opened', true],
    ['room.*', 'room', false],
    ['room.*', 'room.a.b', false],
    ['*', 'room', true],
    ['*.opened', 'room.opened', true],
    ['#', 'room.a.b', true],
    ['room.#', 'room', true],
    ['room.#', 'room.a.b', true],
    ['room.#', 'rooms', false],
    ['#.b', 'room.a.b', true],
    ['room.#.b', 'room.b', true],
    ['room.#.#', 'room', true],
    ['room.a*', 'room.ab', false],
    ['room.a*', 'room.a*', true],
    ['room+', 'roomm', false],
  ])('%s, asked about %s: %s', (pattern, subject, expected) => {
    expect(matches(pattern, subject)).toBe(expected);
  });

  it('means what its definition says, for any words', () => {
    const words = (...of: string[]) => fc.array(fc.constantFrom(...of), { minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(words('a', 'b', '', '*', '#'), words('a', 'b', ''), (pattern, subject) => {
        expect(matches(pattern.join('.'), subject.join('.'))).toBe(naive(pattern, subject));
      }),
      { numRuns: 2_000 },
    );
  });

  it('full of wildcards is decided at once', () => {
    const started = performance.now();
    expect(matches(Array(40).fill('#.a').join('.'), Array(40).fill('b').join('.'))).toBe(false);
    expect(performance.now() - started).toBeLessThan(500);
  });
});
