import { frameOf, type Frame } from './frame.js';
import { trim, type Subject } from './slow.js';
import { Tail } from './tail.js';

const subject = (slow: Subject['slow'], room = 'r', key = 'k'): Subject => ({ nsp: '/', room, slow, key: () => key });

/** A frame of 100 bytes. */
function frame(n: number, about?: Subject): Frame {
  const text = `2["n",${n}]`;
  return frameOf([text + ' '.repeat(97 - text.length)], {}, about);
}

function tailOf(frames: Frame[]): Tail {
  return frames.reduce<Tail | undefined>((tail, each) => new Tail(each, tail), undefined)!;
}

function contentOf(tail: Tail | undefined): unknown[] {
  return (tail?.frames ?? []).map(({ pieces }) => (JSON.parse(String(pieces[0]!.data).slice(1)) as unknown[])[1]);
}

const gap = (room: string, dropped: number) => ({ room, reason: 'slow', dropped });

describe('what stays of what waits for a slow client', () => {
  it('is all of it within the limit, the same object', () => {
    const tail = tailOf([frame(1, subject('drop-oldest')), frame(2, subject('disconnect')), frame(3)]);
    expect(trim(tail, 300)).toEqual({ tail, dropped: 0, superseded: 0 });
  });

  it('is never less where nothing may go', () => {
    const tail = tailOf([frame(1, subject('disconnect')), frame(2)]);
    expect(trim(tail, 0).tail).toBe(tail);
  });

  it('is three quarters of the limit where the oldest may go, behind a word on each room', () => {
    const frames = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => frame(n, subject('drop-oldest', n % 2 ? 'odd' : 'even')));
    const { tail, dropped } = trim(tailOf(frames), 500);
    expect(dropped).toBe(5);
    expect(contentOf(tail)).toEqual([gap('odd', 3), gap('even', 2), 6, 7, 8]);
  });

  it('tells all that were dropped in one word, also when it is trimmed again', () => {
    const some = (from: number) => [0, 1, 2, 3].map((n) => frame(from + n, subject('drop-oldest')));
    const first = trim(tailOf(some(1)), 300);
    const again = trim(tailOf([...first.tail!.frames, ...some(5)]), 300);
    const [told, ...rest] = contentOf(again.tail);
    expect(told).toEqual(gap('r', first.dropped + again.dropped));
    expect(rest).toEqual([7, 8].slice(-rest.length));
    expect(first.dropped + again.dropped + rest.length).toBe(8);
  });

  it('keeps what may not go, in its order', () => {
    const frames = [
      frame(1, subject('disconnect')),
      frame(2, subject('drop-oldest')),
      frame(3),
      frame(4, subject('drop-oldest')),
    ];
    expect(contentOf(trim(tailOf(frames), 250).tail)).toEqual([gap('r', 2), 1, 3]);
  });

  it('is the last of each key of each room, whatever the limit', () => {
    const of = (n: number, room: string, key: string) => frame(n, subject('latest', room, key));
    const frames = [of(1, 'r', 'a'), of(2, 'r', 'b'), frame(3), of(4, 's', 'a'), of(5, 'r', 'a'), of(6, 'r', 'a')];
    const { tail, dropped, superseded } = trim(tailOf(frames), Infinity);
    expect([dropped, superseded]).toEqual([0, 2]);
    expect(contentOf(tail)).toEqual([2, 3, 4, 6]);
  });
});

describe('a tail', () => {
  it('is shared by all who wait for the same, with the bytes that it comes to', () => {
    const [a, b, c] = [frame(1), frame(2), frame(3)];
    expect(a.alone).toBe(a.alone);
    expect(a.alone.then(b)).toBe(a.alone.then(b));
    const tail = a.alone.then(b).then(c);
    expect(tail.whole[0]).toEqual(Buffer.concat([a.bytes, b.bytes, c.bytes]));
    expect([tail.length, tail.count, tail.frames]).toEqual([300, 3, [a, b, c]]);
  });
});
