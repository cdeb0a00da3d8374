import { Line, type Standing } from './line.js';

interface Item extends Standing {
  readonly name: string;
}

const item = (name: string): Item => ({ name });
const names = (line: Line<Item>) => line.all().map(({ name }) => name);

describe('Line', () => {
  it('keeps the order, whoever leaves', () => {
    const line = new Line<Item>();
    const [a, b, c, d] = [item('a'), item('b'), item('c'), item('d')];
    for (const each of [a, b, c, d]) line.add(each);
    expect(line.delete(b)).toBe(true);
    expect(names(line)).toEqual(['a', 'c', 'd']);
    expect(line.delete(a)).toBe(true);
    expect(line.delete(d)).toBe(true);
    expect(names(line)).toEqual(['c']);
    expect([line.first, line.size]).toEqual([c, 1]);
    line.add(a);
    expect(names(line)).toEqual(['c', 'a']);
  });

  it('says whether somebody stood there, and lets go of who leaves', () => {
    const line = new Line<Item>();
    const [a, b] = [item('a'), item('b')];
    line.add(a);
    line.add(b);
    expect(line.delete(a)).toBe(true);
    expect(line.delete(a)).toBe(false);
    expect([a.before, a.behind, b.before]).toEqual([undefined, undefined, undefined]);
    line.delete(b);
    expect([line.first, line.size, names(line)]).toEqual([undefined, 0, []]);
  });
});
