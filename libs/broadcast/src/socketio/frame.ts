/*
 * What one socket receives of a message, built once per instance by joining bytes: `42` + the arguments without their
 * last bracket + meta + `]`. Nothing is decoded.
 */
import { frameBody, packetPrefix, websocketFrame } from '../binary.js';
import type { Header, Message } from '../envelope.js';

/** One Engine.IO packet of a frame. */
export interface Piece {
  /** As a polling or compressing transport wants it. */
  readonly data: string | Buffer;
  /** The same as one ready websocket frame, in the form that Engine.IO hands to `ws`. */
  readonly wsPreEncodedFrame?: readonly [Buffer];
}

/** A text piece, and one more for each attachment. */
export type Frame = readonly Piece[];

const TEXT_OPCODE = 1;
const COMMA = Buffer.from(',');
const END = Buffer.from(']');

/** @param room the room it is delivered in: a message says so to its receivers */
export function buildFrame(message: Message, room: string | undefined): Frame {
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
  const frame = websocketFrame(TEXT_OPCODE, parts);
  return [
    // The first byte is Engine.IO's ("4", a message); its other transports put their own.
    { data: frameBody(frame).toString('utf8', 1), wsPreEncodedFrame: [frame] },
    ...frames.map((attachment): Piece => ({ data: frameBody(attachment), wsPreEncodedFrame: [attachment] })),
  ];
}

/** What a receiver learns about a message, beside its content. */
export function meta({ id, at, from }: Header, room: string | undefined, pos?: string) {
  return { room, id, at, from, pos };
}
