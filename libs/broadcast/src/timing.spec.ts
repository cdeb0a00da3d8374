import { Timing } from './timing.js';

describe('a timing', () => {
  it('counts each time in the first step that it is not beyond', () => {
    const timing = new Timing([1, 10]);
    for (const ms of [0, 1, 1.1, 10, 10.1, 60_000]) timing.add(ms);
    expect(timing.counts).toEqual([2, 2, 2]);
    expect(timing.sum).toBeCloseTo(60_022.2);
  });

  it('takes what clocks that disagree make negative for nothing', () => {
    const timing = new Timing([1]);
    timing.add(-5_000);
    expect(timing.counts).toEqual([1, 0]);
    expect(timing.sum).toBe(0);
  });
});
