/*
 * The layout of a message whose arguments hold bytes: the header as in the text layout, then the websocket frames that
 * clients receive, ready to be written.
 *
 *   0x01 · uint32 length of the header · header, a JSON object · text frame · one binary frame per attachment
 *
 * The text frame is the Socket.IO packet `45<n>-[<nsp>,]<args>` with placeholders in its arguments. Frames are as
 * RFC 6455 has them from a server: unfragmented, unmasked.
 */
import { checkDepth } from './depth.js';
import { BroadcastError } from './errors.js';

/** First byte of the layout. A text message begins with `{`. */
export const BINARY = 0x01;

const TEXT_OPCODE = 1;
const BINARY_OPCODE = 2;
const PREFIX_BYTES = 5;
const ARRAY_START = 0x5b;
const ARRAY_END = 0x5d;

export type Bytes = ArrayBuffer | ArrayBufferView;

interface Placeholder {
  _placeholder: true;
  num: number;
}

/**
 * Whether there are bytes anywhere in it: a `Buffer`, a typed array or an `ArrayBuffer`.
 *
 * @param own whether to ask its own `toJSON`; once is what `JSON.stringify` does
 */
export function hasBinary(value: unknown, own = true): boolean {
  if (value === null || typeof value !== 'object') return false;
  if (isBytes(value)) return true;
  if (Array.isArray(value)) return value.some((item) => hasBinary(item));
  if (own && hasToJson(value)) return hasBinary(value.toJSON(), false);
  return Object.values(value).some((item) => hasBinary(item));
}

/** @throws BroadcastError `BAD_REQUEST` when they nest too deep, and whatever `JSON.stringify` throws */
export function encodeBinary(header: { v: number; nsp?: string }, args: readonly unknown[]): Buffer {
  const attachments: Buffer[] = [];
  const packet = JSON.stringify(extract(args, attachments));
  checkDepth(packet, 'BAD_REQUEST');
  const head = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix[0] = BINARY;
  prefix.writeUInt32BE(head.length, 1);
  const text = Buffer.from(packetPrefix(attachments.length, header.nsp) + packet);
  const frames = attachments.map((attachment) => websocketFrame(BINARY_OPCODE, [attachment]));
  return Buffer.concat([prefix, head, websocketFrame(TEXT_OPCODE, [text]), ...frames]);
}

/** The header, and what follows it. @throws BroadcastError `UNREADABLE` */
export function decodeBinaryHeader(payload: Buffer): { header: unknown; body: Buffer } {
  try {
    const end = PREFIX_BYTES + payload.readUInt32BE(1);
    const header: unknown = JSON.parse(payload.toString('utf8', PREFIX_BYTES, end));
    return { header, body: payload.subarray(end) };
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** The arguments, unread, and the frames of their attachments. @throws BroadcastError `UNREADABLE` */
export function decodeBinaryBody(body: Buffer, nsp?: string): { args: Buffer; frames: Buffer[] } {
  try {
    const [text, ...frames] = splitFrames(body);
    if (!text) throw new RangeError('no text frame');
    const packet = frameBody(text);
    const prefix = Buffer.from(packetPrefix(frames.length, nsp));
    const args = packet.subarray(prefix.length);
    if (!packet.subarray(0, prefix.length).equals(prefix) || args[0] !== ARRAY_START || args.at(-1) !== ARRAY_END) {
      throw new RangeError(`the text frame is not ${prefix.toString()} and an array`);
    }
    return { args, frames };
  } catch (cause) {
    throw unreadable(cause);
  }
}

/** Puts the bytes back where their placeholders stand. @throws BroadcastError `UNREADABLE` */
export function restore(value: unknown, frames: readonly Buffer[]): unknown {
  if (value === null || typeof value !== 'object') return value;
  // Clients take anything with this mark for a placeholder, and drop the connection when there is nothing in its place.
  if ('_placeholder' in value && value._placeholder === true) {
    const num = 'num' in value ? value.num : undefined;
    const frame = typeof num === 'number' ? frames[num] : undefined;
    if (!frame) throw new BroadcastError('UNREADABLE', `it lacks attachment ${JSON.stringify(num)}`);
    return frameBody(frame);
  }
  if (Array.isArray(value)) return value.map((item) => restore(item, frames));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, restore(item, frames)]));
}

/** What a Socket.IO event packet begins with, inside an Engine.IO message: `42`, `451-`, `42/admin,`, … */
export function packetPrefix(attachments: number, nsp = '/'): string {
  const type = attachments > 0 ? `45${attachments}-` : '42';
  return nsp === '/' ? type : `${type}${nsp},`;
}

/** One whole unmasked frame in one buffer: a merged buffer is cheaper to write than header and body apart. */
export function websocketFrame(opcode: 1 | 2, parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const headerLength = frameHeaderLength(length);
  const frame = Buffer.allocUnsafe(headerLength + length);
  frame[0] = 0x80 | opcode;
  if (headerLength === 2) {
    frame[1] = length;
  } else if (headerLength === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  let at = headerLength;
  for (const part of parts) at += part.copy(frame, at);
  return frame;
}

/** The content of a frame, without copying it. @throws RangeError when it is not whole */
export function frameBody(frame: Buffer): Buffer {
  const { start, end } = measure(frame, 0);
  return frame.subarray(start, end);
}

function splitFrames(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const { end } = measure(bytes, at);
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  frames.forEach((frame, index) => {
    const opcode = index === 0 ? TEXT_OPCODE : BINARY_OPCODE;
    if (frame[0] !== (0x80 | opcode)) throw new RangeError(`frame ${index} is not of opcode ${opcode}`);
  });
  return frames;
}

function frameHeaderLength(length: number): number {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10;
}

function measure(bytes: Buffer, at: number): { start: number; end: number } {
  const short = bytes.readUInt8(at + 1);
  if (short > 127) throw new RangeError('a frame is masked');
  const headerLength = short < 126 ? 2 : short === 126 ? 4 : 10;
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
  // Browsers end the connection over a length that is written in more bytes than it needs.
  if (headerLength !== frameHeaderLength(length))
    throw new RangeError('the length of a frame is not in its short form');
  const start = at + headerLength;
  const end = start + length;
  if (end > bytes.length) throw new RangeError('a frame ends after the message');
  return { start, end };
}

function extract(value: unknown, attachments: Buffer[], own = true): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (isBytes(value)) {
    const num = attachments.push(toBuffer(value)) - 1;
    return { _placeholder: true, num } satisfies Placeholder;
  }
  if (Array.isArray(value)) return value.map((item) => extract(item, attachments));
  if (own && hasToJson(value)) {
    return extract(value.toJSON(), attachments, false);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, extract(item, attachments)]));
}

function hasToJson(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function';
}

function isBytes(value: object): value is Bytes {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

/** The bytes themselves, whatever size the elements of a view of them have. */
export function toBuffer(value: Bytes): Buffer {
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value);
}

function unreadable(cause: unknown): BroadcastError {
  return new BroadcastError('UNREADABLE', 'it is not in the documented binary layout', { cause });
}
