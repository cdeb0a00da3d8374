import fc from 'fast-check';
import { decode, decodeArgs, encode, encodePlain, isReservedEvent, NEWER, stamp, type Message } from './envelope.js';
import { BroadcastError } from './errors.js';

function read(payload: string | Buffer): Message {
  const message = decode(Buffer.from(payload));
  if (message === NEWER) throw new Error('expected a message of this version');
  return message;
}

function values(payload: string | Buffer): unknown[] {
  return decodeArgs(read(payload));
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof BroadcastError ? error.code : `not one of ours: ${String(error)}`;
  }
}

/** Text that looks like the end of a header, between any other. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(',"args":[', '{"v":1,"args":["x"]}', '"]}', '\\', '\ud800', '__proto__', 'toJSON', 'args'),
);
const { value: json } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue(),
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4 }),
  ),
}));
const args = fc.tuple(
  text.filter((event) => !isReservedEvent(event)),
  json,
);
const header = fc.record(
  {
    id: text,
    room: text,
    rooms: fc.array(text),
    nsp: text,
    from: text,
    at: fc.integer(),
    origin: text,
    except: fc.array(text),
    flags: fc.record({ volatile: fc.boolean(), compress: fc.boolean() }, { requiredKeys: [] }),
    raw: fc.constant(1 as const),
  },
  { requiredKeys: [] },
);

describe('an envelope', () => {
  it('is JSON with the header first and the arguments last', () => {
    const fields = { id: '01K', room: '123', from: 'u42', at: 1763822048123, origin: 'gw-7f' };
    expect(encode(fields, ['chat', { text: 'hi' }]).toString()).toBe(
      '{"v":1,"id":"01K","room":"123","from":"u42","at":1763822048123,"origin":"gw-7f","args":["chat",{"text":"hi"}]}',
    );
    expect(encode({ nsp: undefined, from: undefined }, ['chat']).toString()).toBe('{"v":1,"args":["chat"]}');
  });

  it('carries any JSON, and any header, there and back', () => {
    fc.assert(
      fc.property(header, args, (fields, said) => {
        const message = read(encode(fields, said));
        expect(message.header).toEqual({ v: 1, ...fields });
        expect(message.args.toString()).toBe(JSON.stringify(said));
        expect(decodeArgs(message)).toEqual(JSON.parse(JSON.stringify(said)));
      }),
    );
  });

  it('is the same where a plain emit is written out', () => {
    const plain = fc.record({ id: text, at: fc.integer(), origin: text, nsp: fc.option(text, { nil: undefined }) });
    fc.assert(
      fc.property(plain, text, args, (fields, room, said) => {
        const { id, at, origin, nsp } = fields;
        const usual = encode({ id, at, origin, nsp, raw: 1, room }, said);
        expect(encodePlain(fields, room, JSON.stringify(said)).toString()).toBe(usual.toString());
      }),
    );
  });

  it('keeps its arguments as the bytes that came, not as new ones', () => {
    fc.assert(
      fc.property(json, (data) => {
        const payload = encode({ origin: 'gw-1' }, ['chat', data]);
        const message = decode(payload) as Message;
        expect(message.args.toString()).toBe(JSON.stringify(['chat', data]));
        expect(message.args.buffer).toBe(payload.buffer);
      }),
    );
  });

  it.each(['["chat",{"te]', '["chat",{"text":"hi"}]}]', '["disconnect",1]', '[{}]', '[]'])(
    'with the arguments %s is refused, whoever says that it is from them',
    (args) => {
      expect(codeOf(() => decode(Buffer.from(`{"v":1,"origin":"gw-1","args":${args}}`)))).toBe('UNREADABLE');
    },
  );

  it('is refused when its arguments cannot be JSON', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    let deep: unknown = 1;
    for (let i = 0; i < 20_000; i++) deep = [deep];
    for (const data of [cycle, 1n, deep]) expect(codeOf(() => encode({}, ['chat', data]))).toBe('BAD_REQUEST');
  });

  it('is stamped with an id and a time that agree', () => {
    const { id, at, origin } = stamp('gw-1');
    expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(Math.abs(Date.now() - at)).toBeLessThan(1_000);
    expect(origin).toBe('gw-1');
  });
});

describe('an envelope by another encoder', () => {
  it.each([
    ['with spaces', '{"v": 1, "id": "a", "args": ["chat", {"text": "hi"}]}'],
    ['on several lines', '{\n  "v": 1,\n  "id": "a",\n  "args": [\n    "chat",\n    {"text": "hi"}\n  ]\n}\n'],
    ['in another order', '{"args":["chat",{"text":"hi"}],"id":"a","v":1}'],
    ['ending like ours', '{"v":1,"args":["chat",{"text":"hi"}],"id":"a","rooms":[]}'],
    [
      'of a field that holds arguments of its own',
      '{"v":1,"id":"a","x":{"y":1,"args":[2]},"args":["chat",{"text":"hi"}]}',
    ],
  ])('is read all the same: %s', (_, payload) => {
    const message = read(payload);
    expect(message.header).toMatchObject({ v: 1, id: 'a' });
    expect(message.args.toString()).toBe('["chat",{"text":"hi"}]');
  });

  it('may have header fields that this version does not know', () => {
    expect(read('{"v":1,"pos":"e.1","__proto__":1,"args":["chat"]}').header).toHaveProperty('pos', 'e.1');
  });

  it('reaches clients as valid UTF-8', () => {
    const payload = Buffer.from('{"v":1,"args":["chat","?"]}');
    payload[payload.indexOf('?')] = 0xff;
    expect(read(payload).args.toString('latin1')).toBe(Buffer.from('["chat","\ufffd"]').toString('latin1'));
  });
});

describe('a foreign message', () => {
  beforeEach(() => void jest.spyOn(Date, 'now').mockReturnValue(1763822048123));
  afterEach(() => void jest.restoreAllMocks());

  it.each([
    ['the rest of the object is the data', '{"event":"chat","text":"Hello!"}', {}, { text: 'Hello!' }],
    ['`data` is, where there is one', '{"event":"chat","data":[1],"text":"left out"}', {}, [1]],
    ['null is data', '{"event":"chat","data":null,"text":"left out"}', {}, null],
    ['nothing else is an empty object', '{"event":"chat"}', {}, {}],
    ['a string `id` names it', '{"event":"chat","id":"a","text":"x"}', { id: 'a' }, { text: 'x' }],
    ['and does so beside `data`', '{"event":"chat","id":"a","data":1}', { id: 'a' }, 1],
    ['any other `id` is part of the data', '{"event":"chat","id":7}', {}, { id: 7 }],
    ['fields named like the header are data', '{"event":"chat","room":7,"from":"u1"}', {}, { room: 7, from: 'u1' }],
    ['a version does not make it an envelope', '{"v":1,"event":"chat","text":"x"}', {}, { v: 1, text: 'x' }],
    ['nor do arguments alone', '{"event":"chat","args":["x"]}', {}, { args: ['x'] }],
    ['nor do arguments deeper down', '{"event":"chat","data":{"v":1,"args":["x"]}}', {}, { v: 1, args: ['x'] }],
  ])('%s: %s', (_, payload, named, data) => {
    const message = read(payload);
    expect(message.header).toEqual({ v: 1, at: 1763822048123, ...named });
    expect(decodeArgs(message)).toEqual(['chat', data]);
  });

  it('may have a field called __proto__', () => {
    expect(read('{"event":"chat","__proto__":{"x":1}}').args.toString()).toBe('["chat",{"__proto__":{"x":1}}]');
  });
});

describe('a newer version', () => {
  it.each([
    '{"v":2,"args":["chat"]}',
    '{"v":2,"id":7,"args":["chat"]}',
    '{"v": 2}',
    '{"v":2,"args":[no JSON any more]}',
    '{"v":1.5,"args":[]}',
    '\x01\x00\x00\x00\x07{"v":2}and then something new',
  ])('is left alone, whatever it holds: %j', (payload) => {
    expect(decode(Buffer.from(payload, 'latin1'))).toBe(NEWER);
  });
});

describe('the arguments of an unknown origin', () => {
  it('of a control message may be any array', () => {
    expect(values('{"v":1,"kind":"probe","args":[7]}')).toEqual([7]);
    expect(codeOf(() => read('{"v":1,"kind":"probe","args":{}}'))).toBe('UNREADABLE');
  });

  it('begin with an event where sockets receive them, also in a control message', () => {
    expect(codeOf(() => read('{"v":1,"kind":"emit","args":[]}'))).toBe('UNREADABLE');
    expect(codeOf(() => read('{"v":1,"kind":"emit","args":["disconnect"]}'))).toBe('UNREADABLE');
  });

  it('may be in a message that was cut short or damaged, and are then an event with data or nothing', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
    const withBytes = fc.tuple(fc.constant('file'), json, fc.uint8Array());
    fc.assert(
      fc.property(header, fc.oneof(args, withBytes), damage, fc.nat(), (fields, said, changes, cut) => {
        const payload = encode(fields, said);
        for (const [at, byte] of changes) payload[at % payload.length] = byte;
        expectEventOrNothing(payload);
        expectEventOrNothing(payload.subarray(0, cut % payload.length));
      }),
      { numRuns: 500 },
    );
  });
});

describe('bytes that are no message', () => {
  it.each([
    [''],
    ['x'],
    ['{'],
    ['7'],
    ['null'],
    ['[]'],
    ['"chat"'],
    ['{}'],
    ['{"text":"no event"}'],
    ['{"event":7}'],
    ['{"event":null,"data":1}'],
    ['{"v":1}'],
    ['{"v":1,"args":"chat"}'],
    ['{"v":1,"args":[]}'],
    ['{"v":1,"args":[7]}'],
    ['{"args":[7],"v":1}'],
    ['{"args":["disconnect"],"v":1}'],
    ['{"v":1,"args":["chat",]}'],
    ['{"v":1,"args":["chat"]}]}'],
    ['{"v":0,"args":["chat"]}'],
    ['{"v":"1","args":["chat"]}'],
    ['{"args":["chat"]}'],
    ['{"v":1,"id":7,"args":["chat"]}'],
    ['{"v":1,"room":7,"args":["chat"]}'],
    ['{"v":1,"rooms":["a",7],"args":["chat"]}'],
    ['{"v":1,"kind":7,"args":["chat"]}'],
    ['{"v":1,"nsp":7,"args":["chat"]}'],
    ['{"v":1,"from":null,"args":["chat"]}'],
    ['{"v":1,"at":"now","args":["chat"]}'],
    ['{"v":1,"at":1e999,"args":["chat"]}'],
    ['{"v":1,"origin":7,"args":["chat"]}'],
    ['{"v":1,"except":"a","args":["chat"]}'],
    ['{"v":1,"flags":[],"args":["chat"]}'],
    ['{"v":1,"raw":true,"args":["chat"]}'],
    ['{"v": 1, "id": 7, "args": ["chat"]}'],
    ['\ufeff{"event":"chat"}'],
  ])('are unreadable: %s', (payload) => {
    expect(codeOf(() => read(payload))).toBe('UNREADABLE');
  });

  it.each(['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'])(
    'are unreadable when the event is %s, which would end every connection',
    (event) => {
      expect(codeOf(() => read(JSON.stringify({ event })))).toBe('UNREADABLE');
      expect(codeOf(() => read(encode({}, [event])))).toBe('UNREADABLE');
      expect(codeOf(() => read(encode({}, [event, Buffer.from('x')])))).toBe('UNREADABLE');
      expect(isReservedEvent(event)).toBe(true);
    },
  );

  it('are unreadable when they nest deeper than they can be written again', () => {
    const deep = '['.repeat(50_000) + ']'.repeat(50_000);
    expect(codeOf(() => read(`{"event":"chat","data":${deep}}`))).toBe('UNREADABLE');
  });

  it('never throw anything but UNREADABLE', () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.uint8Array().map((rest) => Uint8Array.from([1, 0, 0, 0, 2, 123, 125, ...rest])),
      json.map((value) => Buffer.from(JSON.stringify(value))),
      fc.tuple(fc.constantFrom('{"v":1,', '{"event":"x",', '{'), text).map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(bytes, (payload) => {
        const code = codeOf(() => decode(Buffer.from(payload)));
        expect([undefined, 'UNREADABLE']).toContain(code);
      }),
      { numRuns: 1_000 },
    );
  });
});

function expectEventOrNothing(payload: Buffer): void {
  let message: Message | typeof NEWER;
  try {
    message = decode(payload);
  } catch (error) {
    expect(error).toMatchObject({ code: 'UNREADABLE' });
    return;
  }
  if (message === NEWER || message.header.kind !== undefined) return;
  const [event] = decodeArgs(message);
  expect(typeof event).toBe('string');
  expect(isReservedEvent(event as string)).toBe(false);
}
