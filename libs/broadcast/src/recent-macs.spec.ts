import fc from 'fast-check';
import { RecentMacs } from './recent-macs.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

describe('recent signatures', () => {
  it('are new once', () => {
    const macs = new RecentMacs(1_000);
    expect([macs.add('a'), macs.add('b'), macs.add('a')]).toEqual([true, true, false]);
  });

  it('are remembered for their lifetime, whenever others come, and are not for longer than twice that', () => {
    fc.assert(
      fc.property(
        fc.nat(3_000),
        fc.array(fc.nat(400), { maxLength: 10 }),
        fc.array(fc.nat(400), { maxLength: 10 }),
        (idle, before, after) => {
          const macs = new RecentMacs(1_000);
          jest.advanceTimersByTime(idle);
          const others = (waits: number[], name: string) =>
            waits.forEach((wait, i) => {
              jest.advanceTimersByTime(wait);
              macs.add(`${name} ${i}`);
            });
          others(before, 'before');
          macs.add('x');
          const at = performance.now();
          others(after, 'after');
          const age = performance.now() - at;
          if (age <= 1_000) {
            jest.advanceTimersByTime(1_000 - age);
            expect(macs.add('x')).toBe(false);
          }
          jest.advanceTimersByTime(1_000);
          macs.add('one');
          jest.advanceTimersByTime(1_000);
          macs.add('another');
          expect(macs.add('x')).toBe(true);
        },
      ),
    );
  });
});
