import fc from 'fast-check';
import { RecentIds } from './recent-ids.js';

describe('recent ids', () => {
  it('are known from when they are added', () => {
    const ids = new RecentIds(10);
    expect(ids.has('a')).toBe(false);
    ids.add('a');
    expect(ids.has('a')).toBe(true);
  });

  it('are remembered for at least `size` others and forgotten after twice as many', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 100 }), (size, before) => {
        const ids = new RecentIds(size);
        for (let i = 0; i < before; i++) ids.add(`before ${i}`);
        ids.add('x');
        for (let i = 1; i < size; i++) ids.add(`after ${i}`);
        expect(ids.has('x')).toBe(true);
        for (let i = size; i <= 2 * size; i++) ids.add(`after ${i}`);
        expect(ids.has('x')).toBe(false);
      }),
    );
  });

  it('stay remembered when they are added again', () => {
    const ids = new RecentIds(2);
    for (const id of ['x', 'a', 'x', 'b', 'c']) ids.add(id);
    expect(ids.has('x')).toBe(true);
  });
});
