import { Counts, type CountsOptions } from './counts.js';

const asked: { id: string; rooms: readonly string[] }[] = [];

function counts(options: Partial<CountsOptions> = {}): Counts {
  return new Counts({
    local: (rooms) => rooms.map(() => 1),
    others: async () => 2,
    ask: async (id, rooms) => void asked.push({ id, rooms }),
    timeout: 500,
    ...options,
  });
}

/** The question that goes out at the end of this turn. */
async function question() {
  await jest.advanceTimersByTimeAsync(0);
  return asked.at(-1)!;
}

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  jest.useRealTimers();
  asked.length = 0;
});

describe('counting a room', () => {
  it('adds what is here to what the others answer', async () => {
    const counting = counts();
    const count = counting.of('a');
    const { id } = await question();
    counting.answered(id, [10]);
    counting.answered(id, [100]);
    expect(await count).toBe(111);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('asks once for all rooms of a turn, and again in the next', async () => {
    const counting = counts();
    const all = Promise.all(['a', 'b', 'a'].map((room) => counting.of(room)));
    const { id, rooms } = await question();
    expect(rooms).toEqual(['a', 'b']);
    counting.answered(id, [1, 10]);
    counting.answered(id, [2, 20]);
    expect(await all).toEqual([4, 31, 4]);
    void counting.of('a');
    await question();
    expect(asked).toHaveLength(2);
  });

  it('does not ask when there is nobody else', async () => {
    const count = counts({ others: async () => 0 }).of('a');
    await jest.advanceTimersByTimeAsync(0);
    expect(await count).toBe(1);
    expect(asked).toEqual([]);
  });

  it('answers with what has arrived when somebody stays silent', async () => {
    const counting = counts();
    const settled = jest.fn();
    void counting.of('a').then(settled);
    const { id } = await question();
    counting.answered(id, [10]);
    await jest.advanceTimersByTimeAsync(499);
    expect(settled).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(settled).toHaveBeenCalledWith(11);
  });

  it('answers with what is here when the others cannot be asked', async () => {
    const count = counts({ ask: () => Promise.reject(new Error('no link')) }).of('a');
    await jest.advanceTimersByTimeAsync(0);
    expect(await count).toBe(1);
  });

  it('takes no answers to questions of others, or to those that are over', async () => {
    const counting = counts();
    const first = counting.of('a');
    const { id } = await question();
    counting.answered('unknown', [1_000]);
    await jest.advanceTimersByTimeAsync(500);
    expect(await first).toBe(1);
    const second = counting.of('a');
    const { id: next } = await question();
    counting.answered(id, [1_000]);
    counting.answered(next, [5]);
    counting.answered(next, [5]);
    expect(await second).toBe(11);
  });

  it('counts what is here at the end, not at the beginning', async () => {
    let here = 1;
    const counting = counts({ local: () => [here], others: async () => 1 });
    const count = counting.of('a');
    const { id } = await question();
    here = 2;
    counting.answered(id, [0]);
    expect(await count).toBe(2);
  });
});
