import { deadline, pause } from './deadline.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

describe('a deadline', () => {
  it('passes on what the work comes to', async () => {
    const failure = new Error('refused');
    await expect(deadline(Promise.resolve(7), 1_000, 'asking')).resolves.toBe(7);
    await expect(deadline(Promise.reject(failure), 1_000, 'asking')).rejects.toBe(failure);
  });

  it('rejects with TIMEOUT when the work takes longer, and says which work', async () => {
    const waiting = deadline(new Promise(() => undefined), 1_000, 'asking');
    const refusal = expect(waiting).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: 'asking took longer than 1000 ms',
    });
    await jest.advanceTimersByTimeAsync(1_000);
    await refusal;
  });

  it('leaves no timer behind', async () => {
    await deadline(Promise.resolve(), 1_000, 'asking');
    await deadline(Promise.reject(new Error('refused')), 1_000, 'asking').catch(() => undefined);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('swallows a rejection that comes after it', async () => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    let reject = (_: Error) => undefined as void;
    const waiting = deadline(new Promise((_, no) => (reject = no)), 1_000, 'asking').catch(() => 'late');
    await jest.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toBe('late');
    reject(new Error('refused'));
    jest.useRealTimers();
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe('a pause', () => {
  it('ends when its time is over', async () => {
    const ended = jest.fn();
    void pause(1_000, new AbortController().signal).then(ended);
    await jest.advanceTimersByTimeAsync(999);
    expect(ended).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(ended).toHaveBeenCalled();
  });

  it('ends as soon as it is aborted, and leaves no timer behind', async () => {
    const aborted = new AbortController();
    const waiting = pause(1_000, aborted.signal);
    aborted.abort();
    await waiting;
    await pause(1_000, aborted.signal);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('leaves nothing behind on a signal that outlives it', async () => {
    const { signal } = new AbortController();
    const removed = jest.spyOn(signal, 'removeEventListener');
    const waiting = pause(1_000, signal);
    await jest.advanceTimersByTimeAsync(1_000);
    await waiting;
    expect(removed).toHaveBeenCalledWith('abort', expect.any(Function));
  });
});
