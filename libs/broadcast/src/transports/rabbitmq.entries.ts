/*
 * A message out of the stream: where it is, when it was sent, and what it is in a room's history. Offsets count from 0;
 * places, which positions are made of, from 1.
 */
import type { ConsumeMessage } from 'amqplib';
import { positionOf, type Position } from '../position.js';
import type { LogEntry } from '../transport.js';
import { SENT_HEADER } from './rabbitmq.names.js';

/** All positions are of one log, whose identity the ids in it prove. */
export const EPOCH = 's';

/** The offset of a message in its stream. */
export function offset(message: ConsumeMessage): number {
  return Number(message.properties.headers?.['x-stream-offset']);
}

export function place(message: ConsumeMessage): number {
  return offset(message) + 1;
}

export function position(place: number): Position {
  return positionOf(EPOCH, place);
}

/** When a message was sent, in ms since 1970, as its sender says. */
export function sentAt({ properties }: ConsumeMessage): number | undefined {
  const sent: unknown = properties.headers?.[SENT_HEADER];
  return typeof sent === 'number' ? sent : undefined;
}

export function idOf({ properties }: ConsumeMessage): string | undefined {
  const id: unknown = properties.messageId;
  return typeof id === 'string' ? id : undefined;
}

export function entry(message: ConsumeMessage): LogEntry {
  const id = idOf(message);
  const found = { pos: position(place(message)), payload: message.content };
  return id === undefined ? found : { ...found, id };
}
