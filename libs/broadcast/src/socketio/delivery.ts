/*
 * Writes messages to the sockets of a namespace: a frame is built once, whatever their number, and a socket that cannot
 * take it keeps nobody else from it. When the connections write is the outbox's.
 */
import type { Namespace, Socket } from 'socket.io';
import { decodeArgs, type Flags, type Message } from '../envelope.js';
import { toError } from '../errors.js';
import type { SlowPolicy } from '../profiles.js';
import type { Seat } from './audiences.js';
import { buildFrame, frameOf, meta, type Frame, type Encoded } from './frame.js';
import type { Outbox } from './outbox.js';
import type { Connection } from './outlet.js';
import type { Subject } from './slow.js';

/** Socket.IO's packet type of an event. */
export const EVENT = 2;

/** A broadcast of this instance's own. */
export interface OwnPacket {
  type?: number;
  nsp?: string;
  readonly data: unknown[];
}

/** What adapters read of a Socket.IO server, and its types keep to themselves. */
interface ServerInside {
  readonly opts: { readonly parser?: unknown };
  readonly encoder: { encode(packet: OwnPacket): Encoded };
}

export class Delivery {
  readonly #nsp: Namespace;
  readonly #server: ServerInside;
  readonly #outbox: Outbox;
  readonly #isFast: boolean;
  readonly #slowOf: (room: string) => SlowPolicy;

  /**
   * @param isFast whether frames may wait for the end of the turn, and share their writes
   * @param slowOf what becomes of clients that are too slow for the room
   */
  constructor(nsp: Namespace, outbox: Outbox, isFast: boolean, slowOf: (room: string) => SlowPolicy) {
    this.#nsp = nsp;
    this.#server = nsp.server as unknown as ServerInside;
    this.#outbox = outbox;
    this.#isFast = isFast;
    this.#slowOf = slowOf;
  }

  /** Whether broadcasts of this instance's own can be written here, too. */
  get takesOwn(): boolean {
    return this.#isFast && this.#hasFrames;
  }

  /** The socket of this id, if it is connected. */
  seat(id: string): Seat | undefined {
    const socket = this.#nsp.sockets.get(id);
    return socket && { socket, outlet: this.#outbox.outletOf(socket.conn as unknown as Connection) };
  }

  /**
   * Writes a message from another instance.
   *
   * @param room the room it is delivered in: a message says so to its receivers
   */
  write(message: Message, room: string | undefined, seats: readonly Seat[]): void {
    const values = () => {
      const args = decodeArgs(message);
      return message.header.raw ? args : [...args, meta(message.header, room, message.pos)];
    };
    const notify = (socket: Socket) => this.#guard(() => tell(socket, values()));
    const subject = this.#subject(room, () => message.header.key ?? String(decodeArgs(message)[0]));
    if (this.#hasFrames) this.#send(buildFrame(message, room, subject), room, seats, notify);
    else this.#encode(values, message.header.flags, seats, notify);
  }

  /** What the server's parser makes of a broadcast. @throws whatever it throws */
  encodeOwn(packet: OwnPacket): Encoded {
    packet.nsp = this.#nsp.name;
    return this.#server.encoder.encode(packet);
  }

  writeOwn(
    { data }: OwnPacket,
    encoded: Encoded,
    room: string | undefined,
    seats: readonly Seat[],
    { volatile, compress }: Flags = {},
  ): void {
    const subject = this.#subject(room, () => String(data[0]));
    this.#send(frameOf(encoded, { volatile, compress }, subject), room, seats, (socket) => tell(socket, data));
  }

  /** A packet's arguments, as its text has them. */
  argsOf([text, ...attachments]: Encoded): string | undefined {
    const { name } = this.#nsp;
    if (typeof text !== 'string' || attachments.length > 0) return undefined;
    return text.slice(name === '/' ? 1 : name.length + 2);
  }

  #send(frame: Frame, room: string | undefined, seats: readonly Seat[], notify: Notify): void {
    const { name } = this.#nsp;
    const outbox = this.#outbox;
    const run = outbox.runFor(room === undefined ? name : `${name} ${room}`, frame);
    const isVolatile = frame.flags?.volatile === true;
    for (const seat of seats) {
      const { socket, outlet } = seat;
      if (isVolatile && !outlet.isFree) {
        outbox.counts.volatileDropped++;
        continue;
      }
      if (isListened(socket) && !notify(socket)) continue;
      if (this.#isFast && outlet.takes(frame)) outbox.put(run, outlet, frame);
      else this.#guard(() => outlet.writeOrdinarily(frame));
    }
    outbox.schedule();
  }

  #subject(room: string | undefined, key: () => string): Subject | undefined {
    if (this.#outbox.limit === undefined) return undefined;
    return { nsp: this.#nsp.name, room, key, slow: room === undefined ? 'disconnect' : this.#slowOf(room) };
  }

  /** A parser of the application's own needs the values. */
  #encode(values: () => unknown[], { volatile, compress }: Flags = {}, seats: readonly Seat[], notify: Notify): void {
    const [first] = seats;
    if (!first) return;
    const data = values();
    const encoded = this.encodeOwn({ type: EVENT, data });
    for (const { socket, outlet } of seats) {
      if (volatile && !outlet.isFree) continue;
      if (isListened(socket) && !notify(socket)) continue;
      this.#guard(() => {
        for (const each of encoded) socket.conn.write(each, { compress });
      });
    }
  }

  /** If it got out, the broker would deliver the message again, to those who have it already too. */
  #guard(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (thrown) {
      this.#outbox.failed(toError(thrown));
      return false;
    }
  }

  /** The default parser's packets are the bytes as they came. */
  get #hasFrames(): boolean {
    return this.#server.opts.parser === undefined;
  }
}

/** Calls a socket's listeners of outgoing packets. Returns whether it is to have the packet. */
type Notify = (socket: Socket) => boolean;

/** Asked for each message and receiver, where `listenersAnyOutgoing()` makes an array anew for each that has none. */
function isListened(socket: Socket): boolean {
  const { _anyOutgoingListeners: listeners } = socket as unknown as { _anyOutgoingListeners?: readonly unknown[] };
  return listeners !== undefined && listeners.length > 0;
}

function tell(socket: Socket, values: unknown[]): true {
  for (const listener of [...socket.listenersAnyOutgoing()]) listener.apply(socket, values);
  return true;
}
