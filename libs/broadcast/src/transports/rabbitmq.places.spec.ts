import { Places } from './rabbitmq.places.js';

describe('places in a stream', () => {
  it('knows those of each room, between two offsets', () => {
    const places = new Places();
    expect(places.from).toBeUndefined();
    ['a', 'b', 'a', 'a', 'b'].forEach((key, i) => places.add(key, 10 + i));
    expect(places.from).toBe(10);
    expect(places.between('a', 0, Infinity)).toEqual([10, 12, 13]);
    expect(places.between('a', 11, 12)).toEqual([12]);
    expect(places.between('b', 11, 14)).toEqual([11, 14]);
    expect(places.between('c', 0, Infinity)).toEqual([]);
  });

  it('keeps a bounded number, and says from where on it has all', () => {
    const places = new Places(3);
    for (let offset = 0; offset < 100; offset++) places.add(offset % 2 ? 'odd' : 'even', offset);
    const known = [...places.between('odd', 0, 99), ...places.between('even', 0, 99)].sort((one, other) => one - other);
    expect(known.length).toBeGreaterThanOrEqual(3);
    expect(known.length).toBeLessThanOrEqual(6);
    expect(known[0]).toBe(places.from);
    expect(known.at(-1)).toBe(99);
  });

  it('begins anew where what comes does not follow', () => {
    const places = new Places();
    places.add('a', 1);
    places.clear();
    expect(places.from).toBeUndefined();
    places.add('a', 7);
    expect(places.between('a', 0, 9)).toEqual([7]);
  });
});
