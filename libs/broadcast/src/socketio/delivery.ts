/*
 * Writes a message from another instance to sockets: its frame is built once, whatever their number, and a socket that
 * cannot take it keeps nobody else from it.
 */
import type { Namespace, Socket } from 'socket.io';
import { decodeArgs, type Message } from '../envelope.js';
import { toError } from '../errors.js';
import { buildFrame, meta, type Frame } from './frame.js';

/** Socket.IO's packet type of an event. */
export const EVENT = 2;

/** What adapters read of a Socket.IO server, and its types keep to themselves. */
interface ServerInside {
  readonly opts: { readonly parser?: unknown };
  readonly encoder: { encode(packet: { type: number; nsp: string; data: unknown[] }): (string | Buffer)[] };
}

export class Delivery {
  readonly #nsp: Namespace;
  readonly #server: ServerInside;
  readonly #failed: (error: Error) => void;

  /** @param failed hears what writing to a socket has thrown */
  constructor(nsp: Namespace, failed: (error: Error) => void) {
    this.#nsp = nsp;
    this.#server = nsp.server as unknown as ServerInside;
    this.#failed = failed;
  }

  /** @param room the room it is delivered in: a message says so to its receivers */
  write(message: Message, room: string | undefined, sockets: Iterable<string>): void {
    let frame: Frame | undefined;
    for (const id of sockets) {
      const socket = this.#nsp.sockets.get(id);
      if (socket) this.#writeTo(socket, message, room, (frame ??= this.#frame(message, room)));
    }
  }

  #writeTo(socket: Socket, message: Message, room: string | undefined, frame: Frame): void {
    const { volatile, compress } = message.header.flags ?? {};
    if (volatile && !socket.conn.transport.writable) return;
    try {
      const listeners = socket.listenersAnyOutgoing() as ((...args: unknown[]) => void)[];
      if (listeners.length > 0) for (const listener of listeners) listener(...this.#values(message, room));
      for (const { data, ...ready } of frame) {
        // A ready frame is one of Engine.IO 4. In 3, which clients of Socket.IO 2 speak, bytes have their type in front.
        const isReady = socket.conn.protocol !== 3 || typeof data === 'string';
        socket.conn.write(data, { compress, ...(isReady && ready) });
      }
    } catch (thrown) {
      // If it got out, the broker would deliver the message again, to those who have it already too.
      this.#failed(toError(thrown));
    }
  }

  /** The default parser's packets are the bytes as they came; another parser needs the values. */
  #frame(message: Message, room: string | undefined): Frame {
    if (this.#server.opts.parser === undefined) return buildFrame(message, room);
    const packet = { type: EVENT, nsp: this.#nsp.name, data: this.#values(message, room) };
    return this.#server.encoder.encode(packet).map((data) => ({ data }));
  }

  #values(message: Message, room: string | undefined): unknown[] {
    const values = decodeArgs(message);
    return message.header.raw ? values : [...values, meta(message.header, room, message.pos)];
  }
}
