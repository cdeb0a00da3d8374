import { Encoder, PacketType } from 'socket.io-parser';
import fc from 'fast-check';
import * as ws from 'ws';
import { decode, encode, type Header, type Message } from '../envelope.js';
import { buildFrame, meta } from './frame.js';

/** Not in the types of `ws`. */
const { Sender } = ws as unknown as { Sender: { frame(data: Buffer, options: object): Buffer[] } };

type Fields = Omit<Header, 'v'>;

/** What Socket.IO itself would send for these values: Engine.IO packets, and what `ws` makes of them. */
function bySocketIo(nsp: string, values: unknown[]) {
  return (new Encoder().encode({ type: PacketType.EVENT, nsp, data: values }) as (string | Buffer)[]).map((data) => {
    const text = typeof data === 'string';
    const options = { fin: true, opcode: text ? 1 : 2, mask: false, readOnly: true, rsv1: false };
    const content = text ? Buffer.from(`4${data}`) : data;
    return { data, wsPreEncodedFrame: [Buffer.concat(Sender.frame(content, options))] };
  });
}

function built(header: Fields, args: unknown[], room?: string) {
  return buildFrame(decode(encode(header, args)) as Message, room).pieces;
}

const bytes = fc.uint8Array().map((content) => Buffer.from(content));
const data = fc.oneof(fc.jsonValue({ stringUnit: 'binary' }), fc.record({ text: fc.string(), bytes }), bytes);
const nsp = fc.constantFrom('/', '/admin', '/a[b]');
const fields = fc.record(
  { id: fc.string(), at: fc.nat(), from: fc.string({ unit: 'binary' }), origin: fc.string() },
  { requiredKeys: [] },
);

describe('the frame that a socket receives', () => {
  it('joined from bytes, is what Socket.IO would send for the event, its data and meta', () => {
    fc.assert(
      fc.property(fields, nsp, data, fc.string({ unit: 'binary' }), (header, where, what, room) => {
        const expected = bySocketIo(where, ['chat', what, meta({ v: 1, ...header }, room)]);
        expect(built({ ...header, nsp: where }, ['chat', what], room)).toEqual(expected);
      }),
    );
  });

  it('of a plain emit has no meta, and any number of arguments', () => {
    fc.assert(
      fc.property(nsp, fc.array(data), (where, args) => {
        expect(built({ nsp: where, raw: 1 }, ['chat', ...args], 'r')).toEqual(bySocketIo(where, ['chat', ...args]));
      }),
    );
  });

  it('tells the room it is delivered in, and of the header only what is for clients', () => {
    const header = { id: '01K', room: 'x', rooms: ['x', '123'], from: 'u42', at: 5, origin: 'gw-1', except: ['y'] };
    const [piece] = built(header, ['chat', { text: 'hi' }], '123');
    expect(piece?.data).toBe('2["chat",{"text":"hi"},{"room":"123","id":"01K","at":5,"from":"u42"}]');
  });

  it('leaves out of meta what a message does not have', () => {
    expect(built({}, ['chat', 1], undefined)[0]?.data).toBe('2["chat",1,{}]');
  });

  it('does not copy attachments', () => {
    const message = decode(encode({}, ['file', Buffer.from('abc')])) as Message;
    const [, attachment] = buildFrame(message, 'r').pieces;
    expect(attachment?.wsPreEncodedFrame?.[0]).toBe(message.frames[0]);
  });
});
