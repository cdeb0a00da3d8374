import fc from 'fast-check';
import { encode } from '../envelope.js';
import { splitPosition } from './redis.log.js';

/** As the script at Redis does it. */
function positioned(pos: string, message: Buffer): Buffer {
  if (message[0] === 0x7b && message[1] === 0x22) {
    return Buffer.concat([Buffer.from(`{"pos":"${pos}",`), message.subarray(1)]);
  }
  return Buffer.concat([Buffer.from([3, pos.length]), Buffer.from(pos), message]);
}

const positions = fc.stringMatching(/^[\w-]{1,32}\.\d{1,16}$/);

describe('a message with its position in front', () => {
  it('is taken apart into what it was, any bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each));
    const messages = fc.oneof(
      bytes,
      bytes.map((rest) => Buffer.concat([Buffer.from('{"'), rest])),
      fc.json().map((json) => encode({ id: 'm' }, ['x', json])),
    );
    fc.assert(
      fc.property(positions, messages, (pos, message) => {
        const split = splitPosition(positioned(pos, message));
        expect(split.pos).toBe(pos);
        expect(split.payload.equals(message)).toBe(true);
      }),
    );
  });

  it.each([
    '',
    '{',
    '{"pos":"',
    '{"pos":"e.1"',
    '{"pos":"e.1"}',
    '{"pos":"e.1" ,"event":"x"}',
    '{"pos":"e.","event":"x"}',
    '{"pos":"3,4","event":"move"}',
    '{"pos":"\\"e.1","event":"x"}',
    '{"pos":7,"event":"x"}',
    '{"event":"x","pos":"e.1"}',
    '\u0003',
    '\u0003\u0004',
    '\u0003\u0003e.',
    '\u0003\u0003e.x{}',
    '\u0003\u00ffe.1',
  ])('is nothing that only looks like it: %j', (text) => {
    const payload = Buffer.from(text, 'latin1');
    const split = splitPosition(Buffer.from(payload));
    expect(split.pos).toBeUndefined();
    expect(split.payload.equals(payload)).toBe(true);
  });
});
