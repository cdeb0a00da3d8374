import { Questions, type Question } from './questions.js';

/** Questions to `b` and `c`, and what was looked at and sent. */
function desk() {
  const checked: string[] = [];
  const sent: string[] = [];
  const questions = new Questions((member) => checked.push(member));
  const ask = (more: Partial<Question<unknown>> = {}) => {
    const send = async (id: string) => void sent.push(id);
    return questions.ask({ of: ['b', 'c'], timeout: 1_000, send, ...more });
  };
  const answer = (from: string, value: unknown, last = true, id = sent.at(-1)!) =>
    questions.answered(id, from, value, last);
  return { questions, ask, answer, checked, sent };
}

const nobodyIsMissing = { silent: [], gone: [] };

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe('a question', () => {
  it('ends when everybody has answered, with the answers in the order in which they came', async () => {
    const { questions, ask, answer } = desk();
    const asking = ask();
    expect(questions.open.size).toBe(1);
    answer('c', 'from c');
    answer('b', 'from b');
    expect(await asking).toEqual({ ...nobodyIsMissing, answers: ['from c', 'from b'] });
    expect([questions.open.size, jest.getTimerCount()]).toEqual([0, 0]);
  });

  it('is not even sent when there is nobody to ask', async () => {
    const { ask, sent } = desk();
    expect(await ask({ of: [] })).toEqual({ ...nobodyIsMissing, answers: [] });
    expect(sent).toEqual([]);
  });

  it('hears the parts of an answer as they come, and ends with the last part of the last one', async () => {
    const { ask, answer } = desk();
    const parts: unknown[] = [];
    const asking = ask({ part: (...part) => parts.push(part) });
    answer('b', 1, false);
    answer('c', 2);
    answer('b', 3, false);
    answer('b', 4);
    expect(await asking).toEqual({ ...nobodyIsMissing, answers: [2, 4] });
    expect(parts).toEqual([
      [1, 'b', false],
      [2, 'c', true],
      [3, 'b', false],
      [4, 'b', true],
    ]);
  });

  it('hears nobody whom it did not ask, nobody twice, and nobody too late', async () => {
    const { ask, answer, sent } = desk();
    const parts: unknown[] = [];
    const asking = ask({ part: (value) => parts.push(value) });
    answer('x', 'a stranger');
    answer('b', 'once');
    answer('b', 'twice');
    answer('c', 'to another question', true, 'another');
    answer('c', 'last');
    answer('c', 'too late', true, sent[0]);
    expect((await asking).answers).toEqual(['once', 'last']);
    expect(parts).toEqual(['once', 'last']);
  });

  it('ends when its time is up, and names the silent ones', async () => {
    const { questions, ask, answer } = desk();
    const asking = ask();
    answer('b', 'here');
    answer('c', 'a part', false);
    await jest.advanceTimersByTimeAsync(999);
    expect(questions.open.size).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(await asking).toEqual({ answers: ['here'], silent: ['c'], gone: [] });
    expect([questions.open.size, jest.getTimerCount()]).toEqual([0, 0]);
  });

  it('ends when those who have not answered are gone, and names them unless they had said goodbye', async () => {
    const { questions, ask, answer } = desk();
    const left: string[] = [];
    const asking = ask({ of: ['b', 'c', 'd', 'e'], left: (from) => left.push(from) });
    questions.left('x', 'gone');
    questions.left('b', 'closed');
    questions.left('c', 'gone');
    answer('c', 'after all');
    answer('e', 'here');
    questions.left('e', 'gone');
    questions.left('d', 'silent');
    questions.left('d', 'silent');
    expect(await asking).toEqual({ answers: ['here'], silent: [], gone: ['c', 'd'] });
    expect(left).toEqual(['b', 'c', 'd']);
  });

  it('does not take what does not fit for an answer, says so, and names who says it', async () => {
    const { ask, answer } = desk();
    const parts: unknown[] = [];
    const left: string[] = [];
    const asking = ask({
      fits: (value) => typeof value === 'number',
      part: (value) => parts.push(value),
      left: (from) => left.push(from),
    });
    answer('b', 1, false);
    expect(() => answer('b', 'two', false)).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
    answer('b', 3);
    answer('x', 'a stranger');
    answer('c', 4);
    expect(await asking).toEqual({ answers: [4], silent: [], gone: ['b'] });
    expect([parts, left]).toEqual([[1, 4], ['b']]);
  });

  it('ends when it cannot be sent, and says why', async () => {
    const { questions, ask } = desk();
    const failure = new Error('no link');
    expect(await ask({ send: () => Promise.reject(failure) })).toEqual({
      answers: [],
      silent: ['b', 'c'],
      gone: [],
      failure,
    });
    expect([questions.open.size, jest.getTimerCount()]).toEqual([0, 0]);
  });

  it('keeps what was answered before the broker said that sending had failed', async () => {
    const { questions, ask } = desk();
    const asking = ask({
      send: async (id) => {
        questions.answered(id, 'b', 'here', true);
        throw new Error('uncertain');
      },
    });
    expect(await asking).toMatchObject({ answers: ['here'], silent: ['c'] });
  });

  it('has the silent ones looked for after a quarter of a second and each second from then on', async () => {
    const { ask, answer, checked } = desk();
    const asking = ask({ of: ['b', 'c', 'd'], timeout: 30_000 });
    answer('b', 'here');
    answer('c', 'a part', false);
    await jest.advanceTimersByTimeAsync(249);
    expect(checked).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(checked.splice(0)).toEqual(['c', 'd']);
    answer('c', 'the rest');
    await jest.advanceTimersByTimeAsync(1_000);
    expect(checked.splice(0)).toEqual(['d']);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(checked).toEqual(['d']);
    answer('d', 'here');
    await asking;
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is one of several, each with answers of its own; who leaves leaves all of them', async () => {
    const { questions, ask, answer, sent } = desk();
    const asking = [ask(), ask()];
    for (const id of sent) answer('b', `to ${id}`, true, id);
    questions.left('c', 'gone');
    const outcomes = await Promise.all(asking);
    expect(outcomes).toEqual(sent.map((id) => ({ answers: [`to ${id}`], silent: [], gone: ['c'] })));
  });

  it('ends with all others when nobody is interested any more', async () => {
    const { questions, ask, answer } = desk();
    const asking = [ask(), ask()];
    answer('b', 'here');
    questions.close();
    expect((await Promise.all(asking)).map(({ answers }) => answers)).toEqual([[], ['here']]);
    expect([questions.open.size, jest.getTimerCount()]).toEqual([0, 0]);
  });
});
