import { guarded, type Refusal } from './answer.js';

const refusal = (message: string): Refusal => ({ ok: false, error: { code: 'NOT_FOUND', message } });

describe('an answer', () => {
  it('that cannot be written is a failure that the client and the log are told of', () => {
    const given: Refusal[] = [];
    const failures: unknown[] = [];
    const tooLong = new RangeError('Invalid string length');
    const answer = guarded(
      (each) => {
        if (each.error.message === 'too long') throw tooLong;
        given.push(each);
      },
      (error) => failures.push(error),
    );
    answer(refusal('too long'));
    expect(given).toMatchObject([{ ok: false, error: { code: 'INTERNAL' } }]);
    expect(failures).toEqual([tooLong]);
  });

  it('that can is given as it is', () => {
    const given: Refusal[] = [];
    guarded(
      (each) => given.push(each),
      () => {
        throw new Error('told of nothing');
      },
    )(refusal('x'));
    expect(given).toEqual([refusal('x')]);
  });
});
