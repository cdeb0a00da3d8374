/*
 * What strangers send: names, data and bytes that are right, nearly right, or meant to hurt. All of it comes out of a seed.
 */
import fc from 'fast-check';

/** Inputs that are made at a time. */
const BATCH = 250;

/** Rooms that the strangers share, so that some of what they ask is granted. */
export const ROOMS = ['live:a', 'live:b', 'kept:a', 'kept:b', '__proto__', 'constructor', 'toString'];
export const USERS = ['ann', 'bob', '__proto__', 'constructor', 'guest-1'];

const HOSTILE_NAMES = [
  ...['', ' ', '.', '..', '../../etc/passwd', '..%2f..%2f', 'a/b', 'a\\b', '/v1/rooms', 'C:\\x'],
  ...[
    'a\0b',
    'a\r\nSet-Cookie: x=1',
    'a\nb',
    '\u001b[31m',
    '\u007f',
    '\u2028',
    '\ufeff',
    '\u202e',
    '\ud800',
    'é',
    '🎈',
  ],
  ...['*', '#', 'room.#', 'live:*', '{a}', '%7B', '%', '%ff', '$where', "' OR 1=1 --", '${7*7}', '{{7*7}}', '<script>'],
  ...[
    'x'.repeat(128),
    'x'.repeat(129),
    'x'.repeat(5_000),
    'prototype',
    'hasOwnProperty',
    '__defineGetter__',
    'valueOf',
  ],
];

const text = fc.oneof(
  fc.constantFrom(...HOSTILE_NAMES),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }),
);
const numbers = fc.oneof(
  fc.constantFrom(0, -0, -1, 1e308, -1e308, 2 ** 53, 2 ** 31, 0.1, 1_000, 1_001),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
/** Ways to reach what every object has in common. */
const pollution = fc
  .constantFrom(
    '{"__proto__":{"polluted":true}}',
    '{"constructor":{"prototype":{"polluted":true}}}',
    '{"__proto__":null}',
    '[{"__proto__":[]}]',
    '{"toString":1,"valueOf":2,"then":3,"toJSON":4,"length":-1}',
    '{"then":{"then":1}}',
    '{"_placeholder":true,"num":0}',
    '{"_placeholder":true,"num":-1}',
    '{"_placeholder":true,"num":"__proto__"}',
    '{"type":"Buffer","data":[1,2,3]}',
  )
  .map((json) => JSON.parse(json));
const deep = fc.tuple(fc.integer({ min: 1, max: 4_000 }), fc.boolean()).map(([depth, inObjects]) => {
  let value = 0;
  for (let i = 0; i < depth; i++) value = inObjects ? { a: value } : [value];
  return value;
});
const wide = fc
  .tuple(fc.integer({ min: 100, max: 20_000 }), fc.constantFrom(0, '', null, 'x'))
  .map(([length, each]) => Array(length).fill(each));
const long = fc.integer({ min: 1_000, max: 200_000 }).map((length) => 'x'.repeat(length));

/** Anything that JSON can say. */
export const value = fc.oneof(
  { weight: 40, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 30, arbitrary: text },
  { weight: 20, arbitrary: numbers },
  { weight: 15, arbitrary: pollution },
  { weight: 15, arbitrary: fc.constantFrom(null, true, false, '', [], {}, [[]]) },
  { weight: 1, arbitrary: deep },
  { weight: 1, arbitrary: wide },
  { weight: 1, arbitrary: long },
);

export const room = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...ROOMS) }, { weight: 1, arbitrary: text });
export const user = fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...USERS) }, { weight: 1, arbitrary: text });
export { text };

/** Every field that a request knows, right or wrong, and some that none does. */
const fields = {
  room: fc.oneof({ weight: 9, arbitrary: room }, { weight: 1, arbitrary: value }),
  event: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('chat', 'x', '__proto__', 'constructor') },
    { weight: 1, arbitrary: fc.constantFrom('connect', 'disconnect', 'newListener', 'room:join', 'server:drain', '') },
    { weight: 1, arbitrary: value },
  ),
  data: value,
  id: fc.oneof(fc.constantFrom('a', '__proto__'), fc.uuid(), value),
  user: fc.oneof({ weight: 9, arbitrary: user }, { weight: 1, arbitrary: value }),
  since: fc.oneof(fc.record({ pos: fc.constantFrom('a.1', 'a.-1', '.', 'x'.repeat(999)), id: text }), value),
  before: fc.oneof(fc.constantFrom('a.1', 'a.99999999999999999999', '0.0'), value),
  after: fc.oneof(fc.constantFrom('a.1', '0.0'), value),
  limit: fc.oneof(fc.constantFrom(1, 100, 1_000), value),
  // Short, or what one stranger decides stops all the others.
  duration: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, '1s', 50) }, { weight: 1, arbitrary: numbers }),
  interval: fc.oneof(fc.constantFrom(0, 1, '1ms', null), value),
  reason: fc.oneof(text, value),
  token: fc.oneof(text, value),
  rooms: fc.oneof(fc.array(room, { maxLength: 5 }), value),
};
const right = fc.record(
  {
    room: fc.constantFrom(...ROOMS),
    event: fc.constantFrom('chat', '__proto__', 'constructor', 'toString'),
    data: value,
    user: fc.constantFrom(...USERS),
    duration: fc.constantFrom(1, '50ms'),
    interval: fc.constantFrom(0, 1),
    reason: fc.constantFrom('', '__proto__', '<b>'),
    limit: fc.integer({ min: 1, max: 1_000 }),
  },
  { requiredKeys: ['room', 'event', 'user', 'duration', 'interval'] },
);
export const payload = fc.oneof(
  { weight: 5, arbitrary: right },
  { weight: 6, arbitrary: fc.record(fields, { requiredKeys: ['room', 'event', 'user', 'duration', 'interval'] }) },
  { weight: 3, arbitrary: fc.record(fields, { requiredKeys: [] }) },
  { weight: 2, arbitrary: value },
);

export const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));

/** One small thing is otherwise than in what was given. */
export function damaged(given) {
  return fc
    .tuple(given, fc.constantFrom('cut', 'flip', 'insert', 'repeat', 'drop'), fc.nat(), bytes)
    .map(([original, how, where, added]) => {
      const at = where % (original.length + 1);
      switch (how) {
        case 'cut':
          return original.subarray(0, at);
        case 'flip': {
          const changed = Buffer.from(original);
          if (at < changed.length) changed[at] ^= 1 << (where % 8);
          return changed;
        }
        case 'insert':
          return Buffer.concat([original.subarray(0, at), added, original.subarray(at)]);
        case 'repeat':
          return Buffer.concat([original, original.subarray(at)]);
        default:
          return Buffer.concat([original.subarray(0, at), original.subarray(at + 1)]);
      }
    });
}

/** The same values for the same seed, without an end. */
export function* values(arbitrary, seed) {
  for (let batch = 0; ; batch++) yield* fc.sample(arbitrary, { seed: (seed + batch * 7919) | 0, numRuns: BATCH });
}
