import fc from 'fast-check';
import { encode } from './envelope.js';
import { epochOf, idOf, isSameMark, newEpoch, offsetOf, POSITION, positionOf } from './position.js';

describe('a position', () => {
  it('is taken apart into what it was put together from', () => {
    const epochs = fc.stringMatching(/^[\w-]{1,32}$/);
    fc.assert(
      fc.property(epochs, fc.integer({ min: 0, max: 9_999_999_999_999 }), (epoch, offset) => {
        const pos = positionOf(epoch, offset);
        expect([epochOf(pos), offsetOf(pos), POSITION.test(pos)]).toEqual([epoch, offset, true]);
      }),
    );
  });

  it.each(['', '.', 'e', '.1', 'e.', 'e.-1', 'e.1.2', 'e.x', 'a b.1', `${'e'.repeat(33)}.1`, `e.${'1'.repeat(17)}`])(
    'is nothing else: %j',
    (text) => expect(POSITION.test(text)).toBe(false),
  );

  it('begins with an epoch that no other log has', () => {
    const epochs = Array.from({ length: 1_000 }, newEpoch);
    expect(new Set(epochs).size).toBe(1_000);
    expect(epochs.every((epoch) => POSITION.test(positionOf(epoch, 0)))).toBe(true);
  });

  it('is the same place only with the same id', () => {
    const mark = { pos: 'e.1', id: 'a' };
    expect(isSameMark(mark, { ...mark })).toBe(true);
    for (const other of [{ pos: 'e.1', id: 'b' }, { pos: 'e.1' }, { pos: 'e.2', id: 'a' }, { pos: 'f.1', id: 'a' }]) {
      expect(isSameMark(mark, other)).toBe(false);
      expect(isSameMark(other, mark)).toBe(false);
    }
  });
});

describe('the id of a stored message', () => {
  const foreign = Buffer.from('{"event":"chat","text":"hi"}');

  it.each<[string, Buffer]>([
    ['of an envelope', encode({ id: 'own' }, ['chat', 1])],
    ['of an envelope with bytes', encode({ id: 'own' }, ['chat', Buffer.from('x')])],
    ['of a foreign message', Buffer.from('{"id":"own","event":"chat"}')],
  ])('is its own: %s', (_, payload) => {
    expect(idOf(payload, 'e.1')).toBe('own');
    expect(idOf(payload, 'e.1', "the broker's")).toBe('own');
  });

  it('is derived from its place and its content where it has none, whatever the broker calls it', () => {
    const id = idOf(foreign, 'e.7');
    expect(id).toMatch(/^7-[0-9a-f]{12}$/);
    expect(idOf(Buffer.from(foreign), 'e.7', 'm-1')).toBe(id);
    expect(idOf(foreign, 'other.7')).toBe(id);
    expect(idOf(foreign, 'e.8')).not.toBe(id);
    expect(idOf(Buffer.from('{"event":"chat","text":"ho"}'), 'e.7')).not.toBe(id);
  });

  it.each(['', 'no JSON', '{"event":7}', '\u0001'])('is the one at the broker where it is no message: %j', (text) => {
    expect(idOf(Buffer.from(text), 'e.1', 'm-1')).toBe('m-1');
    expect(idOf(Buffer.from(text), 'e.1')).toMatch(/^1-[0-9a-f]{12}$/);
  });

  it('is derived for one of a newer version', () => {
    expect(idOf(Buffer.from('{"v":2,"id":"a","args":["chat"]}'), 'e.3')).toMatch(/^3-[0-9a-f]{12}$/);
  });
});
