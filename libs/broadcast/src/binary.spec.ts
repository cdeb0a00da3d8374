import { Encoder, PacketType } from 'socket.io-parser';
import fc from 'fast-check';
import * as ws from 'ws';
import { frameBody, hasBinary, packetPrefix, websocketFrame } from './binary.js';
import { decode, decodeArgs, encode, type Message } from './envelope.js';

/** Not in the types of `ws`. */
const { Sender } = ws as unknown as { Sender: { frame(data: Buffer, options: object): Buffer[] } };

/** What `ws` itself would send. */
function frameOfWs(opcode: 1 | 2, data: Buffer): Buffer {
  const options = { fin: true, opcode, mask: false, readOnly: true, rsv1: false };
  return Buffer.concat(Sender.frame(data, options));
}

/** A message in the binary layout, of these parts. */
function layout(header: unknown, ...frames: Buffer[]): Buffer {
  const head = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  return Buffer.concat([Buffer.of(1), length, head, ...frames]);
}

function textFrame(packet: string): Buffer {
  return websocketFrame(1, [Buffer.from(packet)]);
}

const attachment = websocketFrame(2, [Buffer.from('abc')]);
const held = '["file",{"_placeholder":true,"num":0}]';

const bytes = fc.uint8Array({ maxLength: 300 }).map((content) => Buffer.from(content));
const { value: data } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    bytes,
    fc.string({ unit: 'binary' }),
    fc.constantFrom(null, true, 0, 1.5),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'b', '[', 'num'), tie('value'), { maxKeys: 4 }),
  ),
}));
const said = fc.tuple(fc.constant('file'), bytes, data);
const namespace = fc.constantFrom(undefined, '/admin', '/a[b', '/["x"]', '/ä');

describe('a websocket frame', () => {
  it.each([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])('of %i bytes is what ws sends', (length) => {
    const content = Buffer.alloc(length, 0xab);
    expect(websocketFrame(2, [content]).equals(frameOfWs(2, content))).toBe(true);
    expect(frameBody(websocketFrame(1, [content])).equals(content)).toBe(true);
  });

  it('of several parts is that of the whole, as ws sends it', () => {
    fc.assert(
      fc.property(fc.array(bytes), fc.constantFrom(1 as const, 2 as const), (parts, opcode) => {
        const frame = websocketFrame(opcode, parts);
        expect(frame).toEqual(frameOfWs(opcode, Buffer.concat(parts)));
        expect(frameBody(frame)).toEqual(Buffer.concat(parts));
      }),
    );
  });
});

describe('a message with bytes', () => {
  it('holds the header, and the packets that Socket.IO itself would send, as frames', () => {
    fc.assert(
      fc.property(said, namespace, (args, nsp) => {
        const [text, ...attachments] = new Encoder().encode({ type: PacketType.EVENT, nsp: nsp ?? '/', data: args });
        const frames = [
          frameOfWs(1, Buffer.from(`4${text as string}`)),
          ...(attachments as unknown as Buffer[]).map((content) => frameOfWs(2, content)),
        ];
        expect(encode({ id: 'a', nsp }, args)).toEqual(layout({ v: 1, id: 'a', nsp }, ...frames));
      }),
    );
  });

  it('arrives as it was said, in every namespace', () => {
    fc.assert(
      fc.property(said, namespace, (args, nsp) => {
        const message = decode(encode({ id: 'a', nsp }, args)) as Message;
        expect(message.header).toEqual({ v: 1, id: 'a', ...(nsp !== undefined && { nsp }) });
        expect(decodeArgs(message)).toEqual(args);
      }),
    );
  });

  it('keeps arguments and frames as views of the bytes that came', () => {
    const args = Buffer.from('["file",{"_placeholder":true,"num":0}]');
    const payload = layout('{"v":1,"origin":"gw-1"}', websocketFrame(1, [Buffer.from('451-'), args]), attachment);
    const message = decode(payload) as Message;
    expect(message.args).toEqual(args);
    expect(message.frames).toEqual([attachment]);
    for (const part of [message.args, ...message.frames]) expect(part.buffer).toBe(payload.buffer);
  });

  it.each(['', '{"a":["b"]}', '["a"', '"a"]'])('has an array for its arguments, whoever sent it: not %j', (args) => {
    const payload = layout({ v: 1, origin: 'gw-1' }, textFrame(`42${args}`));
    expect(() => decode(payload)).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
  });

  it.each([
    ['a buffer', Buffer.from('abc')],
    ['a typed array', Uint8Array.from([97, 98, 99])],
    ['a view of a part', Buffer.from('xabcx').subarray(1, 4)],
    ['an array buffer', Uint8Array.from([97, 98, 99]).buffer],
    ['a data view', new DataView(Uint8Array.from([97, 98, 99]).buffer)],
    ['bytes behind toJSON', { toJSON: () => Buffer.from('abc') }],
  ])('takes %s for bytes', (_, content) => {
    expect(hasBinary({ deep: [content] })).toBe(true);
    expect(decodeArgs(decode(encode({}, ['file', content])) as Message)).toEqual(['file', Buffer.from('abc')]);
  });

  it('calls toJSON once, like JSON.stringify', () => {
    const own = { x: 1, toJSON: () => own };
    expect(encode({}, ['chat', own]).toString()).toBe('{"v":1,"args":["chat",{"x":1}]}');
    expect(decodeArgs(decode(encode({}, ['chat', own, Buffer.of(1)])) as Message)[1]).toEqual({ x: 1 });
  });

  it('may have no attachments at all', () => {
    expect(decodeArgs(decode(layout({ v: 1 }, textFrame('42["chat",1]'))) as Message)).toEqual(['chat', 1]);
  });

  it.each<[string, Buffer]>([
    ['nothing but the first byte', Buffer.of(1)],
    ['a header longer than the message', Buffer.from([1, 255, 255, 255, 255, 123, 125])],
    ['a header that is no JSON', layout('nonsense', textFrame('42["a"]'))],
    ['a header without a version', layout({}, textFrame('42["a"]'))],
    ['a header field of the wrong type', layout({ v: 1, id: 7 }, textFrame('42["a"]'))],
    ['no frames', layout({ v: 1 })],
    ['no text frame', layout({ v: 1 }, attachment)],
    ['two text frames', layout({ v: 1 }, textFrame('451-' + held), textFrame('abc'))],
    ['a frame cut short', layout({ v: 1 }, textFrame('451-' + held), attachment.subarray(0, 4))],
    ['half the head of a frame', layout({ v: 1 }, textFrame('451-' + held), Buffer.of(0x82))],
    [
      'a masked frame',
      layout(
        { v: 1 },
        textFrame('451-' + held),
        Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536)]),
      ),
    ],
    ['a fragment', layout({ v: 1 }, textFrame('451-' + held), Buffer.from([0x02, 1, 7]))],
    ['a compressed frame', layout({ v: 1 }, textFrame('451-' + held), Buffer.from([0xc2, 1, 7]))],
    [
      'a length in more bytes than it needs',
      layout({ v: 1 }, textFrame('451-' + held), Buffer.from([0x82, 126, 0, 1, 7])),
    ],
    ['another number of attachments', layout({ v: 1 }, textFrame('452-' + held), attachment)],
    ['another namespace', layout({ v: 1, nsp: '/a' }, textFrame('451-/b,' + held), attachment)],
    [
      'a placeholder for an attachment that is not there',
      layout({ v: 1 }, textFrame('451-' + held.replace('0', '1')), attachment),
    ],
    ...['"0"', 'null', '0.5', '{}'].map((num): [string, Buffer] => [
      `a placeholder for attachment ${num}`,
      layout({ v: 1 }, textFrame(`451-["file",{"_placeholder":true,"num":${num}}]`), attachment),
    ]),
    ['a placeholder for no attachment', layout({ v: 1 }, textFrame('451-["file",{"_placeholder":true}]'), attachment)],
    ['arguments that are no JSON', layout({ v: 1 }, textFrame('42["a",]'))],
    ['arguments that are no array', layout({ v: 1 }, textFrame('42{"a":["b"]}'))],
    ['arguments without an event', layout({ v: 1 }, textFrame('42[]'))],
    ['arguments that are no UTF-8', layout({ v: 1 }, websocketFrame(1, [Buffer.from('42["a\xff"]', 'latin1')]))],
    [
      'arguments that nest too deep',
      layout({ v: 1 }, textFrame(`451-["a",${'['.repeat(50_000)}${']'.repeat(50_000)}]`), attachment),
    ],
  ])('is unreadable with %s', (_, payload) => {
    expect(() => decode(payload)).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
  });
});

describe('a packet of Socket.IO', () => {
  it.each([
    [0, undefined, '42'],
    [0, '/', '42'],
    [2, '/', '452-'],
    [0, '/admin', '42/admin,'],
    [1, '/admin', '451-/admin,'],
  ])('with %i attachments in %s begins with its kind and place', (attachments, nsp, prefix) => {
    expect(packetPrefix(attachments, nsp)).toBe(prefix);
  });
});
