import { checkDepth, MOST_DEPTH } from './depth.js';
import { decode, encode, encodePlain, stamp } from './envelope.js';

function nested(levels: number, inside = '1'): string {
  const objects = Math.floor(levels / 2);
  const arrays = levels - objects;
  return '{"x":'.repeat(objects) + '['.repeat(arrays) + inside + ']'.repeat(arrays) + '}'.repeat(objects);
}

function codeOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

describe('nesting', () => {
  it.each([
    ['as deep as it may be', nested(MOST_DEPTH), undefined],
    ['a level deeper', nested(MOST_DEPTH + 1), 'BAD_REQUEST'],
    ['wide, and flat', `[${'[1],{"a":1},'.repeat(1_000)}1]`, undefined],
    ['brackets in a text', `["${'[{'.repeat(1_000)}"]`, undefined],
    ['brackets after an escaped quote', `["\\"${'['.repeat(1_000)}"]`, undefined],
    ['brackets after an escaped backslash', `["\\\\",${nested(MOST_DEPTH, '1')}]`, 'BAD_REQUEST'],
    ['many backslashes at the end of a text', `["${'\\\\'.repeat(1_000)}",${nested(MOST_DEPTH - 1)}]`, undefined],
  ])('%s', (_, json, code) => {
    expect(() => void JSON.parse(json)).not.toThrow();
    expect(codeOf(() => checkDepth(json, 'BAD_REQUEST'))).toBe(code);
  });

  const deepest = (levels: number): unknown => JSON.parse(nested(levels));
  it.each<[string, (levels: number) => unknown]>([
    ['arguments', (levels) => encode({}, ['chat', deepest(levels)])],
    ['arguments with bytes', (levels) => encode({}, ['chat', deepest(levels), Buffer.from('x')])],
    ['a plain emit', (levels) => encodePlain(stamp('a'), 'r', `["chat",${nested(levels)}]`)],
  ])('of %s is refused when they are said', (_, say) => {
    expect(codeOf(() => say(MOST_DEPTH - 1))).toBeUndefined();
    expect(codeOf(() => say(MOST_DEPTH))).toBe('BAD_REQUEST');
    // What JSON.parse takes, and JSON.stringify does not.
    expect(codeOf(() => say(100_000))).toBe('BAD_REQUEST');
  });

  it.each<[string, (data: string) => string]>([
    ['the envelope', (data) => `{"v":1,"id":"a","args":["chat",${data}]}`],
    ['an envelope in another order', (data) => `{"args":["chat",${data}],"v":1}`],
    ['another object', (data) => `{"event":"chat","data":${data}}`],
    ['a text beyond ASCII', (data) => `{"v":1,"id":"é","args":["chat",${data}]}`],
  ])('of %s makes it unreadable', (_, message) => {
    expect(codeOf(() => decode(Buffer.from(message(nested(MOST_DEPTH - 2)))))).toBeUndefined();
    expect(codeOf(() => decode(Buffer.from(message(nested(MOST_DEPTH)))))).toBe('UNREADABLE');
  });
});
