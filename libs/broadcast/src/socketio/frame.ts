/*
 * What one socket receives of a message, built once per instance by joining bytes: `42` + the arguments without their
 * last bracket + meta + `]`. Nothing is decoded.
 */
import { frameBody, packetPrefix, toBuffer, websocketFrame, type Bytes } from '../binary.js';
import type { Flags, Header, Message } from '../envelope.js';
import type { Subject } from './slow.js';
import { Tail } from './tail.js';

/** One Engine.IO packet of a frame. */
export interface Piece {
  /** As a polling or compressing transport wants it. */
  readonly data: string | Buffer;
  /** The same as one ready websocket frame, in the form that Engine.IO hands to `ws`. */
  readonly wsPreEncodedFrame?: readonly [Buffer];
}

const TEXT_OPCODE = 1;
const BINARY_OPCODE = 2;
const COMMA = Buffer.from(',');
const END = Buffer.from(']');

export class Frame {
  /** All of it as websocket frames, one after the other: one buffer for all sockets. */
  readonly bytes: Buffer;
  readonly flags: Flags | undefined;
  /** What it is about, where clients that are too slow for it are looked after. */
  readonly subject: Subject | undefined;
  readonly #attachments: readonly Buffer[];
  readonly #text: Buffer;
  #pieces?: readonly Piece[];
  #alone?: Tail;

  /** @param text the websocket frame of the packet, and those of its attachments */
  constructor(text: Buffer, attachments: readonly Buffer[], flags?: Flags, subject?: Subject) {
    this.#text = text;
    this.#attachments = attachments;
    this.bytes = attachments.length === 0 ? text : Buffer.concat([text, ...attachments]);
    this.flags = flags;
    this.subject = subject;
  }

  get isBinary(): boolean {
    return this.#attachments.length > 0;
  }

  /** What waits at a socket for which nothing else does. */
  get alone(): Tail {
    return (this.#alone ??= new Tail(this));
  }

  /** The same for any transport: a text piece, and one more for each attachment. */
  get pieces(): readonly Piece[] {
    return (this.#pieces ??= [
      // The first byte is Engine.IO's ("4", a message); its other transports put their own.
      { data: frameBody(this.#text).toString('utf8', 1), wsPreEncodedFrame: [this.#text] },
      ...this.#attachments.map((frame): Piece => ({ data: frameBody(frame), wsPreEncodedFrame: [frame] })),
    ]);
  }
}

/** @param room the room it is delivered in: a message says so to its receivers */
export function buildFrame(message: Message, room: string | undefined, subject?: Subject): Frame {
  const { header, args, frames, pos } = message;
  const prefix = Buffer.from(packetPrefix(frames.length, header.nsp));
  const parts = header.raw
    ? [prefix, args]
    : [
        prefix,
        args.subarray(0, args.lastIndexOf(END)),
        COMMA,
        Buffer.from(JSON.stringify(meta(header, room, pos))),
        END,
      ];
  return new Frame(websocketFrame(TEXT_OPCODE, parts), frames, header.flags, subject);
}

/** What a parser makes of a packet. Of Socket.IO's own: a text, and the attachments as they were said. */
export type Encoded = readonly (string | ArrayBuffer | ArrayBufferView)[];

/** Of a packet that Socket.IO's own parser has encoded. */
export function frameOf([text, ...attachments]: Encoded, flags?: Flags, subject?: Subject): Frame {
  const frames = (attachments as Bytes[]).map((each) => websocketFrame(BINARY_OPCODE, [toBuffer(each)]));
  return new Frame(websocketFrame(TEXT_OPCODE, [Buffer.from(`4${text as string}`)]), frames, flags, subject);
}

/** What a receiver learns about a message, beside its content. */
export function meta({ id, at, from }: Header, room: string | undefined, pos?: string) {
  return { room, id, at, from, pos };
}
