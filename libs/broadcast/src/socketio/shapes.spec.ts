import { isAnswerTo } from './shapes.js';

const socket = { id: 'x', handshake: {}, rooms: ['x', 5], data: null };
const ANSWERS: [kind: string, args: unknown[], right: unknown[], wrong: unknown[]][] = [
  [
    'sockets.ask',
    [100, 'event'],
    [
      { clients: 0, responses: [] },
      { clients: 2, responses: [null, 'x'], more: 1 },
    ],
    [
      {},
      { clients: 1 },
      { clients: '1', responses: [] },
      { clients: -1, responses: [] },
      { clients: 1, responses: 'x' },
    ],
  ],
  [
    'sockets.fetch',
    [],
    [[], [socket, { ...socket, data: 'x', more: 1 }]],
    [[null], [[]], [socket, 5], [{ ...socket, id: 5 }], [{ ...socket, rooms: 'x' }], [{ ...socket, handshake: null }]],
  ],
  ['sockets.settle', [], [], [[], true]],
  ['servers.ask', ['event'], [[null], ['x'], [[]]], [[], ['x', 'y']]],
  ['rooms.sizes', [['a', 'b']], [[0, 7]], [[], [1], [1, 2, 3], [1, '2'], [1, -1], [1, 0.5], [1, null]]],
  ['rooms.stats', [], [[], [['a', 1]]], [[null], ['a'], [['a']], [['a', '1']], [[5, 1]]]],
  ['rooms.list', [], [[], ['a', '']], [['a', 5], [['a']]]],
];

describe.each(ANSWERS)('an answer to %s', (kind, args, right, wrong) => {
  it.each([null, ...right])('may be %j', (value) => {
    expect(isAnswerTo(kind, args, value)).toBe(true);
  });

  it.each([undefined, 7, 'abc', { length: 2 }, ...wrong])('may not be %j', (value) => {
    expect(isAnswerTo(kind, args, value)).toBe(false);
  });
});
