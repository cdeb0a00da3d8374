import { Counts, type CountsOptions } from './counts.js';

const asked: (readonly string[])[] = [];

function counts(options: Partial<CountsOptions> = {}): Counts {
  return new Counts({
    local: (rooms) => rooms.map(() => 1),
    ask: async (rooms) => {
      asked.push(rooms);
      return [rooms.map(() => 10), rooms.map(() => 100)];
    },
    ...options,
  });
}

afterEach(() => void asked.splice(0));

describe('counting a room', () => {
  it('adds what is here to what the others answer', async () => {
    expect(await counts().of('a')).toBe(111);
  });

  it('asks once for all rooms of a turn, and again in the next', async () => {
    const counting = counts({ ask: async (rooms) => (asked.push(rooms), [rooms.map((_, index) => index)]) });
    expect(await Promise.all(['a', 'b', 'a'].map((room) => counting.of(room)))).toEqual([1, 2, 1]);
    expect(await counting.of('b')).toBe(1);
    expect(asked).toEqual([['a', 'b'], ['b']]);
  });

  it('is what is here when nobody answers, or with less than was asked', async () => {
    expect(await counts({ ask: async () => [] }).of('a')).toBe(1);
    expect(await counts({ ask: async () => [[]] }).of('a')).toBe(1);
  });
});
