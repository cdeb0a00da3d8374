import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { setImmediate as turn } from 'node:timers/promises';
import { Bindings, type BindingsOptions } from './rabbitmq.bindings.js';

/** Answers in order, when told to; what it has bound is what a queue would hear. */
class FakeBroker {
  readonly bound = new Set<string>();
  readonly asked: string[] = [];
  most = 0;
  readonly #waiting: (() => void)[] = [];

  bind = (key: string) => this.#change(`+${key}`, () => this.bound.add(key));
  unbind = (key: string) => this.#change(`-${key}`, () => this.bound.delete(key));

  hears(key: string): boolean {
    return this.bound.has(key) || this.bound.has('#');
  }

  /** Answers the oldest question, or the one at `index`. */
  async answer(index = 0): Promise<boolean> {
    const [next] = this.#waiting.splice(index % Math.max(1, this.#waiting.length), 1);
    next?.();
    await turn();
    return next !== undefined;
  }

  async answerAll(): Promise<void> {
    while (await this.answer());
  }

  #change(what: string, apply: () => void): Promise<void> {
    this.asked.push(what);
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        apply();
        resolve();
      });
      this.most = Math.max(this.most, this.#waiting.length);
    });
  }
}

const keys = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `k${i + from}`);

function start(options: BindingsOptions = { wildcard: '#', inFlight: 4 }) {
  const broker = new FakeBroker();
  const bindings = new Bindings(broker, options);
  const settled = (promise: Promise<void>) => {
    const state = { done: false };
    promise.then(() => (state.done = true)).catch(() => undefined);
    return state;
  };
  return { broker, bindings, settled };
}

describe('bindings', () => {
  it('begin with the wildcard where there is one, and ask for nothing else until they are disturbed', async () => {
    const { broker, bindings, settled } = start();
    const begun = settled(bindings.begin());
    await broker.answerAll();
    expect(begun.done).toBe(true);
    await bindings.add(keys(10));
    await bindings.delete(['k9']);
    expect(broker.asked).toEqual(['+#']);

    bindings.disturbed();
    bindings.disturbed();
    await broker.answerAll();
    expect([...broker.bound].sort()).toEqual(keys(9));
    expect(broker.asked.at(-1)).toBe('-#');
    await Promise.all([bindings.add(['later']), broker.answerAll()]);
    expect(broker.asked.at(-1)).toBe('+later');
  });

  it('begin with nothing where there is no wildcard', async () => {
    const { broker, bindings } = start({});
    await bindings.begin();
    expect(broker.asked).toEqual([]);
  });

  it('are made one by one while they keep up', async () => {
    const { broker, bindings, settled } = start();
    const joined = settled(bindings.add(keys(4)));
    expect(broker.asked).toEqual(['+k0', '+k1', '+k2', '+k3']);
    for (let i = 0; i < 3; i++) await broker.answer();
    expect(joined.done).toBe(false);
    await broker.answer();
    expect(joined.done).toBe(true);
  });

  it('widen at once when they lag, and narrow when all are there', async () => {
    const { broker, bindings, settled } = start();
    const joined = settled(bindings.add(keys(20)));
    expect(broker.asked[0]).toBe('+#');
    await broker.answer();
    expect(joined.done).toBe(true);
    await broker.answerAll();
    expect(broker.asked.at(-1)).toBe('-#');
    expect([...broker.bound]).toEqual(keys(20));
    expect(broker.most).toBe(5);
  });

  it('without a wildcard are made one by one, whatever that takes', async () => {
    const { broker, bindings } = start({ inFlight: 4 });
    void bindings.add(keys(50));
    await broker.answerAll();
    expect(broker.asked).toEqual(keys(50).map((key) => `+${key}`));
    expect(broker.most).toBe(4);
  });

  it('let someone who joins during narrowing wait for a binding of his own', async () => {
    const { broker, bindings, settled } = start();
    void bindings.add(keys(6));
    while (broker.asked.at(-1) !== '-#') await broker.answer();
    const joined = settled(bindings.add(['late']));
    await broker.answer();
    expect(broker.bound.has('#')).toBe(false);
    expect(joined.done).toBe(false);
    await broker.answer();
    expect(broker.bound.has('late')).toBe(true);
    expect(joined.done).toBe(true);
  });

  it('bind again what is wanted again while it is being unbound', async () => {
    const { broker, bindings, settled } = start();
    void bindings.add(['k']);
    await broker.answerAll();
    void bindings.delete(['k']);
    const joined = settled(bindings.add(['k']));
    expect(joined.done).toBe(false);
    await broker.answer();
    expect(joined.done).toBe(false);
    await broker.answerAll();
    expect(broker.asked).toEqual(['+k', '-k', '+k']);
    expect(joined.done).toBe(true);
  });

  it('stay wide in a crowd, until it is down to four fifths', async () => {
    const { broker, bindings } = start({ wildcard: '#', max: 10, inFlight: 4 });
    void bindings.add(keys(100));
    await broker.answerAll();
    expect([...broker.bound]).toEqual(['#']);
    void bindings.delete(keys(91));
    await broker.answerAll();
    expect([...broker.bound]).toEqual(['#']);
    void bindings.delete(keys(1, 91));
    await broker.answerAll();
    expect([...broker.bound]).toEqual(keys(8, 92));
  });

  it('leave nobody waiting when a key is deleted and added again before the broker is asked', async () => {
    const { broker, bindings, settled } = start({ wildcard: '#', max: 15, inFlight: 3 });
    const [added, deleted] = [settled(bindings.add(keys(4))), settled(bindings.delete(keys(2)))];
    await broker.answer();
    await broker.answer();
    const again = settled(bindings.add(keys(1)));
    await broker.answerAll();
    expect([added.done, deleted.done, again.done]).toEqual([true, true, true]);
  });

  it('reject whoever waits when they end, and whoever comes later', async () => {
    const { bindings } = start();
    const joining = bindings.add(['k']);
    bindings.end(new Error('lost'));
    await expect(joining).rejects.toThrow('lost');
    await expect(bindings.add(['l'])).rejects.toThrow('lost');
  });

  it('hear every key that was granted and is still wanted, at every moment, in any order of events', async () => {
    const batch = fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 12 });
    const step = fc.oneof(
      fc.record({ add: batch }),
      fc.record({ delete: batch }),
      fc.record({ answer: fc.nat(5) }),
      fc.record({ answer: fc.nat(5) }),
      fc.record({ answer: fc.nat(5) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { broker, bindings } = start({ wildcard: '#', max: 15, inFlight: 3 });
        const wanted = new Map<string, object>();
        const granted = new Set<string>();
        const check = () => expect([...granted].filter((key) => !broker.hears(key))).toEqual([]);
        for (const step of steps) {
          if ('add' in step) {
            const names = step.add.map((i) => `k${i}`);
            const join = {};
            for (const name of names) if (!granted.has(name)) wanted.set(name, join);
            void bindings.add(names).then(() => {
              for (const name of names) if (wanted.get(name) === join) granted.add(name);
              check();
            });
          } else if ('delete' in step) {
            const names = step.delete.map((i) => `k${i}`);
            for (const set of [wanted, granted]) for (const name of names) set.delete(name);
            void bindings.delete(names);
          } else {
            await broker.answer(step.answer);
          }
          check();
        }
        await broker.answerAll();
        check();
        expect([...granted].sort()).toEqual([...wanted.keys()].sort());
        if (wanted.size <= 12) expect([...broker.bound].sort()).toEqual([...wanted.keys()].sort());
        expect(broker.most).toBeLessThanOrEqual(4);
      }),
      { numRuns: 300 },
    );
  });
});
