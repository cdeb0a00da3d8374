import { range } from './range.js';

describe('a range as a regular expression', () => {
  it.each([
    [0, 10],
    [0, 1_000],
    [1, 9],
    [1, 60],
    [7, 7],
    [98, 1_203],
    [1_000, 1_050],
    [1_024, 2_000],
    [999, 10_000],
  ])('takes what is from %i to %i, and nothing else', (min, max) => {
    const pattern = new RegExp(`^${range(min, max)}$`);
    const taken = Array.from({ length: 12_000 }, (_, value) => value).filter((value) => pattern.test(String(value)));
    expect([taken[0], taken.at(-1), taken.length]).toEqual([min, max, max - min + 1]);
  });

  it.each([
    [0, 100_000],
    [1_024, 1_073_741_824],
    [1, 16_777_216],
    [0, 65_535],
  ])('keeps to the ends of %i to %i', (min, max) => {
    const pattern = new RegExp(`^${range(min, max)}$`);
    const takes = (value: number) => pattern.test(String(value));
    expect([takes(min), takes(max), takes(min - 1), takes(max + 1), takes(max * 10)]).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it('is short where it can be, and does not mind leading zeros', () => {
    expect(range(0, 100_000)).toBe('0*(0|[1-9]\\d{0,4}|100000)');
    expect(new RegExp(`^${range(1, 10)}$`).test('007')).toBe(true);
  });
});
