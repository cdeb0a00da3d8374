/*
 * A message as it travels between instances: JSON that anyone can read, laid out so that nobody who only forwards it
 * has to decode the payload. The format is fixed; docs/protocol.md specifies it, with test vectors.
 *
 *   {"v":1,"id":"01KA…","room":"123","from":"u42","at":1763822048123,"origin":"gw-7f","args":["chat",{"text":"hi"}]}
 *
 * Flat header fields first, `args` last. `,"args":` cannot occur inside a JSON string (its quotes would be escaped), so
 * the first place where it stands is the end of the header. Arguments with bytes in them travel in binary.ts's layout.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { BINARY, decodeBinaryBody, decodeBinaryHeader, encodeBinary, hasBinary, restore } from './binary.js';
import { checkDepth } from './depth.js';
import { BroadcastError } from './errors.js';
import { ulid } from './ulid.js';

export interface Flags {
  volatile?: boolean;
  compress?: boolean;
}

export interface Header {
  /** Version of the format. */
  readonly v: 1;
  readonly id?: string;
  /** The room it is said in. */
  readonly room?: string;
  /** The rooms of a message to several, in the order that decides which copy a socket in more than one of them gets. */
  readonly rooms?: readonly string[];
  /** What a control message is about. */
  readonly kind?: string;
  /** The Socket.IO namespace, when it is not `/`. */
  readonly nsp?: string;
  /** Who said it. */
  readonly from?: string;
  /** When it was said, in ms since 1970. */
  readonly at?: number;
  /** The instance that sent it, or a part of one (`<instance>/<part>`). */
  readonly origin?: string;
  /** Rooms whose sockets do not get it. */
  readonly except?: readonly string[];
  readonly flags?: Flags;
  /** A plain Socket.IO emit: its arguments reach clients as they are, without meta. */
  readonly raw?: 1;
  /** The trace that it is a part of, as W3C's `traceparent`. What is none is no reason to drop a message. */
  readonly traceparent?: string;
  /** Of state that is said anew: a slow client gets the last of each key only, where the room's profile says so. */
  readonly key?: string;
  /** The sender does not know which instance the sockets that `rooms` names are on: who has one says so. */
  readonly seek?: 1;
}

export interface Message {
  readonly header: Header;
  /** Where it is in its room's log, if it is in one. */
  readonly pos?: string;
  /** The arguments as a JSON array, placeholders (`{"_placeholder":true,"num":0}`) standing for bytes. */
  readonly args: Buffer;
  /** One ready websocket frame per placeholder; empty for a message without bytes. */
  readonly frames: readonly Buffer[];
}

/** A message of a later format: somebody is being upgraded. Ignored and counted, never an error. */
export const NEWER = Symbol('newer version');

const END_OF_HEADER = Buffer.from(',"args":[');
/** Names that Socket.IO keeps for itself: a client that is sent one of them drops the connection. */
const RESERVED_EVENTS = new Set([
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'newListener',
  'removeListener',
]);
/** Names that a namespace's own listeners would take for a client's. */
const RESERVED_SERVER_EVENTS = new Set(['connect', 'connection', 'new_namespace']);

/**
 * Builds a message.
 *
 * @param json the arguments as JSON, where somebody has them so already: without bytes in them
 * @throws BroadcastError `BAD_REQUEST` when the arguments cannot be written as JSON (a cycle, a bigint, too deep)
 */
export function encode(header: Omit<Header, 'v'>, args: readonly unknown[], json?: string): Buffer {
  try {
    if (json === undefined && hasBinary(args)) return encodeBinary({ v: 1, ...header }, args);
    const written = json ?? JSON.stringify(args);
    checkDepth(written, 'BAD_REQUEST');
    return Buffer.from(`${JSON.stringify({ v: 1, ...header }).slice(0, -1)},"args":${written}}`);
  } catch (cause) {
    if (cause instanceof BroadcastError) throw cause;
    throw new BroadcastError('BAD_REQUEST', 'the arguments cannot be encoded as JSON: send plain data', { cause });
  }
}

/**
 * As {@link encode}, of a plain emit to one room: what nearly every message is. Written out, since building the header as an
 * object and then as JSON takes longer than all else that saying something takes here.
 *
 * @param json the arguments
 * @throws BroadcastError `BAD_REQUEST` when they nest too deep
 */
export function encodePlain({ id, at, origin, nsp }: PlainHeader, room: string, json: string): Buffer {
  checkDepth(json, 'BAD_REQUEST');
  const inNamespace = nsp === undefined ? '' : `"nsp":${JSON.stringify(nsp)},`;
  return Buffer.from(
    `{"v":1,"id":${JSON.stringify(id)},"at":${at},"origin":${JSON.stringify(origin)},${inNamespace}"raw":1,"room":${JSON.stringify(room)},"args":${json}}`,
  );
}

/** What the header of a plain emit may have beside `raw` and its room. */
export interface PlainHeader {
  readonly id: string;
  readonly at: number;
  readonly origin: string;
  readonly nsp?: string;
}

/** Header fields every message of our own carries. */
export function stamp(origin: string): { id: string; at: number; origin: string } {
  const at = Date.now();
  return { id: ulid(at), at, origin };
}

/**
 * Reads the header and leaves the arguments as the bytes they are, so that forwarding builds nothing anew. That they are
 * JSON is looked at all the same (0.5 µs for 100 bytes): a broken array would go to a room full of clients, who would all
 * disconnect.
 *
 * Messages in other formats are taken too: the envelope written by another JSON encoder (spaces, another order), and
 * any JSON object with a string `event` (`{"event":"chat","text":"Hello!"}`).
 *
 * @throws BroadcastError `UNREADABLE`
 */
export function decode(payload: Buffer): Message | typeof NEWER {
  if (payload[0] === BINARY) {
    const { header, body } = decodeBinaryHeader(payload);
    if (isNewer(header)) return NEWER;
    const checked = checkHeader(header);
    const message = { header: checked, ...decodeBinaryBody(body, checked.nsp) };
    if (!isUtf8(message.args)) throw unreadable('expected "args" in UTF-8');
    const json = message.args.toString();
    checkDepth(json, 'UNREADABLE');
    checkArgs(checked, valuesOf(json, message.frames));
    return message;
  }
  return decodeOwn(payload) ?? decodeAny(payload);
}

/** The arguments as values; bytes come as `Buffer`. @throws BroadcastError `UNREADABLE` */
export function decodeArgs({ args, frames }: Pick<Message, 'args' | 'frames'>): unknown[] {
  return valuesOf(args.toString(), frames);
}

function valuesOf(json: string, frames: readonly Buffer[]): unknown[] {
  const values = parse(json) as unknown[];
  return frames.length === 0 ? values : (restore(values, frames) as unknown[]);
}

/** An argument that has to be a text. @throws BroadcastError `UNREADABLE` */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw unreadable('expected a text');
}

/** The instance that an origin, `<instance>` or `<instance>/<part>`, names. */
export function instanceOf(origin: string): string {
  return origin.split('/', 1)[0] ?? origin;
}

/** Whether Socket.IO keeps this event name for itself. */
export function isReservedEvent(event: string): boolean {
  return RESERVED_EVENTS.has(event);
}

/** Whether a namespace keeps this event name for itself, among those that servers send each other. */
export function isReservedServerEvent(event: string): boolean {
  return RESERVED_SERVER_EVENTS.has(event);
}

/** Takes the arguments as the bytes that they came as; `undefined` when the bytes are not laid out as encode() does. */
function decodeOwn(payload: Buffer): Message | typeof NEWER | undefined {
  if (payload[payload.length - 1] !== 0x7d || payload[payload.length - 2] !== 0x5d) return undefined;
  // Where each character is a byte all is read as one text, once: nearly always, and cheaper than piece by piece.
  const text = isAscii(payload) ? payload.toString('latin1') : undefined;
  const end = text === undefined ? payload.indexOf(END_OF_HEADER) : text.indexOf(',"args":[');
  if (end < 0) return undefined;
  const last = payload.length - 1;
  let header: unknown;
  try {
    header = JSON.parse((text?.slice(0, end) ?? payload.toString('utf8', 0, end)) + '}');
  } catch {
    return undefined; // Some other JSON in which the same characters stand deeper down.
  }
  if (isNewer(header)) return NEWER;
  if (!isObject(header) || header['v'] !== 1) return undefined;
  const message = { header: checkHeader(header), args: payload.subarray(end + 8, last), frames: [] };
  if (text === undefined && !isUtf8(message.args)) return undefined;
  const args = text?.slice(end + 8, last) ?? message.args.toString();
  try {
    checkArgs(message.header, JSON.parse(args));
    checkDepth(args, 'UNREADABLE');
  } catch (error) {
    if (error instanceof BroadcastError) throw error;
    return undefined; // `args` was not the last field after all.
  }
  return message;
}

/** Reads the whole message: an envelope by another encoder, or an object with an `event`. */
function decodeAny(payload: Buffer): Message | typeof NEWER {
  const text = payload.toString();
  const value = parse(text);
  if (isNewer(value)) return NEWER;
  if (!isObject(value)) throw unreadable('expected a JSON object');
  checkDepth(text, 'UNREADABLE');
  if (value['v'] === 1 && Array.isArray(value['args'])) {
    const { args, ...header } = value;
    const checked = checkHeader(header);
    checkArgs(checked, args);
    return { header: checked, args: write(args), frames: [] };
  }
  const { event, data, ...rest } = value;
  const header: Header = { v: 1, ...takeId(rest), at: Date.now() };
  const args = [event, data === undefined ? rest : data];
  checkArgs(header, args);
  return { header, args: write(args), frames: [] };
}

/** A string `id` names the message; an id of another type is a part of what is said. */
function takeId(fields: Record<string, unknown>): { id?: string } {
  const { id } = fields;
  if (typeof id !== 'string') return {};
  delete fields['id'];
  return { id };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new BroadcastError('UNREADABLE', 'it is not JSON', { cause });
  }
}

/** @param args out of a text that does not nest too deep */
function write(args: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify(args));
}

function isNewer(header: unknown): boolean {
  return isObject(header) && typeof header['v'] === 'number' && header['v'] > 1;
}

function checkArgs({ kind }: Header, args: unknown): void {
  if (!Array.isArray(args)) throw unreadable('expected "args" to be an array');
  if (kind !== undefined && kind !== 'emit') return;
  const event: unknown = args[0];
  if (typeof event !== 'string') throw unreadable('expected an "event" (a string)');
  if (isReservedEvent(event)) throw unreadable(`the event name "${event}" is reserved by Socket.IO`);
}

const FIELDS = new Map<string, (value: unknown) => boolean>(
  Object.entries({
    v: (value: unknown) => value === 1,
    id: isString,
    room: isString,
    rooms: isStrings,
    kind: isString,
    nsp: isString,
    from: isString,
    at: (value: unknown) => typeof value === 'number' && Number.isFinite(value),
    origin: isString,
    except: isStrings,
    flags: isObject,
    raw: (value: unknown) => value === 1,
    seek: (value: unknown) => value === 1,
    key: isString,
  }),
);

function checkHeader(header: unknown): Header {
  if (!isObject(header) || header['v'] !== 1) throw unreadable('expected a header with "v":1');
  for (const key in header) {
    const value = header[key];
    if (value === undefined) continue;
    if (FIELDS.get(key)?.(value) === false) throw unreadable(`the header field "${key}" has the wrong type`);
  }
  return header as unknown as Header;
}

function isString(value: unknown): boolean {
  return typeof value === 'string';
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every(isString);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unreadable(why: string): BroadcastError {
  return new BroadcastError('UNREADABLE', `it is not in a known format: ${why}`);
}
