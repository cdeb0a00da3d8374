/*
 * Places in the logs of rooms. A position is text, `<epoch>.<offset>`: within an epoch offsets grow, and another epoch is
 * another log, even in the same room. It says nothing by itself: brokers fail over and are restored, and use offsets
 * again. Hence the one rule: resuming is valid only if what is at the position still carries the id that was seen.
 */
import { createHash, randomBytes } from 'node:crypto';
import { decode, NEWER } from './envelope.js';

/** `<epoch>.<offset>` */
export type Position = string;

/** A place that somebody has been at, with the id that was seen there. */
export interface Mark {
  readonly pos: Position;
  /** Left out where nothing has been said yet: at offset 0. */
  readonly id?: string;
}

/** What a position looks like. */
export const POSITION = /^[\w-]{1,32}\.\d{1,16}$/;

export function newEpoch(): string {
  return randomBytes(6).toString('base64url');
}

export function positionOf(epoch: string, offset: number): Position {
  return `${epoch}.${offset}`;
}

export function epochOf(pos: Position): string {
  return pos.slice(0, pos.lastIndexOf('.'));
}

export function offsetOf(pos: Position): number {
  return Number(pos.slice(pos.lastIndexOf('.') + 1));
}

export function isSameMark(one: Mark, other: Mark): boolean {
  return one.pos === other.pos && one.id === other.id;
}

/**
 * The id that a stored message goes by: its own, or one that every instance derives alike, whether it has heard the
 * message or reads it.
 *
 * @param given the id that the broker has, for what is no message: whoever hears a message is not told of it
 */
export function idOf(payload: Buffer, pos: Position, given?: string): string {
  try {
    const message = decode(payload);
    if (message !== NEWER && message.header.id !== undefined) return message.header.id;
  } catch {
    // It is told as unreadable where it is delivered; it has its place all the same.
    if (given !== undefined) return given;
  }
  // With the content in it: an offset may be used again, by another log.
  return `${offsetOf(pos)}-${createHash('sha1').update(payload).digest('hex').slice(0, 12)}`;
}
