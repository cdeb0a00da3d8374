/*
 * A message out of a room's log, as clients are shown it.
 */
import { decode, decodeArgs, NEWER, type Header, type Message } from '../envelope.js';
import type { StoredEntry } from '../feed.js';
import type { Position } from '../position.js';

export interface StoredMessage {
  event: string;
  data: unknown;
  room: string;
  id: string;
  at?: number;
  from?: string;
  pos: Position;
}

/** Those of a namespace that are messages to clients; what was said in passing (volatile) is not shown again. */
export function toMessages(
  entries: readonly StoredEntry[],
  room: string,
  nsp: string | undefined,
  visible: (header: Header) => boolean = () => true,
): StoredMessage[] {
  return entries.flatMap(({ id, pos, payload }) => {
    const message = read(payload);
    if (!message) return [];
    const { header } = message;
    if (header.kind !== undefined || header.nsp !== nsp || header.flags?.volatile || !visible(header)) return [];
    const [event, data = null] = decodeArgs(message);
    const { at, from } = header;
    return [{ event: String(event), data, room, id, at, from, pos }];
  });
}

/** Anything may have been stored: what cannot be read is told where it is delivered. */
function read(payload: Buffer): Message | undefined {
  try {
    const message = decode(payload);
    return message === NEWER ? undefined : message;
  } catch {
    return undefined;
  }
}
