import { Counts, type CountsOptions } from './counts.js';

const asked: (readonly string[])[] = [];

function counts(options: Partial<CountsOptions> = {}): Counts {
  return new Counts({
    local: (rooms) => rooms.map(() => 1),
    ask: async (rooms) => {
      asked.push(rooms);
      return { numbers: [rooms.map(() => 10), rooms.map(() => 100)], complete: true };
    },
    ...options,
  });
}

afterEach(() => void asked.splice(0));

describe('counting a room', () => {
  it('adds what is here to what the others answer', async () => {
    expect(await counts().of('a')).toEqual({ sockets: 111, complete: true });
  });

  it('asks once for all rooms of a turn, and again in the next', async () => {
    const counting = counts({
      ask: async (rooms) => (asked.push(rooms), { numbers: [rooms.map((_, index) => index)], complete: true }),
    });
    const sockets = async (room: string) => (await counting.of(room)).sockets;
    expect(await Promise.all(['a', 'b', 'a'].map(sockets))).toEqual([1, 2, 1]);
    expect(await sockets('b')).toBe(1);
    expect(asked).toEqual([['a', 'b'], ['b']]);
  });

  it('is what is here when nobody answers, or with less than was asked', async () => {
    for (const numbers of [[], [[]]]) {
      const counting = counts({ ask: async () => ({ numbers, complete: false }) });
      expect(await counting.of('a')).toEqual({ sockets: 1, complete: false });
    }
  });
});
