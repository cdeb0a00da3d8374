/*
 * The way out to one connection: gathers the frames that reach it in one turn and writes them as one buffer, in order
 * with everything else that is sent to it. What engine.io alone can write (polling, compression, another websocket
 * library), and what somebody wants to see packet by packet, goes through it packet by packet.
 */
import { toError } from '../errors.js';
import type { Frame } from './frame.js';
import { mayGo, trim } from './slow.js';
import type { Tail } from './tail.js';
import type { DeliveryCounts, Run } from './outbox.js';

/** What is read of a `ws` socket; engine.io itself writes ready frames by `_sender`. */
interface WebSocketInside {
  readonly readyState: number;
  /** Bytes that the kernel has not taken yet. */
  readonly bufferedAmount: number;
  readonly extensions: string;
  terminate(): void;
  readonly _sender?: { sendFrame?(list: readonly Buffer[]): void };
}

interface TransportInside {
  readonly name: string;
  readonly writable: boolean;
  readonly supportsBinary: boolean;
  readonly perMessageDeflate?: unknown;
  readonly socket?: WebSocketInside;
  once(event: 'ready', listener: () => void): unknown;
}

interface WriteOptions {
  compress?: boolean;
  wsPreEncodedFrame?: readonly [Buffer];
}

/** What is read of an engine.io connection. */
export interface Connection {
  readonly protocol: number;
  readonly readyState: string;
  readonly transport: TransportInside;
  readonly writeBuffer: readonly unknown[];
  readonly server?: { listenerCount(event: string): number };
  readonly write: (data: string | Buffer, options: WriteOptions) => unknown;
  close(discard?: boolean): unknown;
  listenerCount(event: string): number;
  on(event: 'packetCreate', listener: (packet: { data?: unknown }) => void): unknown;
}

/** What an outlet asks and tells the outbox that it belongs to. */
export interface OutletOwner {
  readonly counts: DeliveryCounts;
  /** Bytes that may wait for a client. None: as many as there are. */
  readonly limit: number | undefined;
  failed(error: Error): void;
  /** The client does not take what is written, or takes it again. */
  waits(outlet: Outlet, on: boolean): void;
}

const OPEN = 1;

export class Outlet {
  /** Where it waits for its turn. */
  run: Run | undefined;
  readonly #conn: Connection;
  readonly #owner: OutletOwner;
  /** As engine.io has it: who puts another in its place wants to see each packet. */
  readonly #engineWrite: Connection['write'];
  #tail: Tail | undefined;
  /** The transport that was looked at last, and whether it takes ready frames. */
  #transport: TransportInside | undefined;
  #isWebSocket = false;
  #writing = false;
  /** Since when it has not taken anything, and is to say when it does, in ms. */
  #waitingSince: number | undefined;
  /** Whether all that has waited since may be left out, or replaced. */
  #mayGo = true;
  /** Bytes in the write buffer of engine.io, and since when there are any. */
  #queued = 0;
  #queuedSince = 0;
  #isGone = false;

  constructor(conn: Connection, owner: OutletOwner) {
    this.#conn = conn;
    this.#owner = owner;
    this.#engineWrite = (Object.getPrototypeOf(conn) as Connection).write;
    // What waits goes before any other packet.
    conn.on('packetCreate', ({ data }) => {
      if (this.#tail && !this.#writing) this.#write();
      if (owner.limit !== undefined && !conn.transport.writable) this.#queue(data);
    });
    // And before the end, which nothing announces.
    const close = conn.close.bind(conn);
    conn.close = (discard) => {
      if (this.#tail) this.#write();
      return close(discard);
    };
  }

  /** Whether frames may wait here: otherwise they are written one by one, in the ordinary way. */
  takes(frame: Frame): boolean {
    const { transport, write } = this.#conn;
    if (transport !== this.#transport) this.#inspect(transport);
    return this.#isWebSocket && write === this.#engineWrite && (!frame.isBinary || this.#takesBinary);
  }

  /** Whether what is said now would be taken now: what is volatile is said only then. */
  get isFree(): boolean {
    const { writable, socket } = this.#conn.transport;
    return writable && this.#waitingSince === undefined && (socket?.bufferedAmount ?? 0) === 0;
  }

  /** Since when the client has taken nothing of what waits, in ms. */
  get waitingSince(): number | undefined {
    return this.#waitingSince;
  }

  /** Puts a frame behind those that wait. Returns whether there were none. */
  put(frame: Frame): boolean {
    const tail = this.#tail;
    this.#tail = tail ? tail.then(frame) : frame.alone;
    if (this.#waitingSince !== undefined && this.#owner.limit !== undefined) this.#bound(this.#owner.limit, frame);
    return tail === undefined;
  }

  /** Writes what waits, in one piece; or waits on, until the socket takes it. */
  flush(): void {
    if (!this.#tail) return;
    const { transport, readyState } = this.#conn;
    if (transport.writable || readyState !== 'open') return this.#write();
    if (this.#waitingSince !== undefined) return;
    this.#waitingSince = performance.now();
    this.#mayGo = this.#owner.limit === undefined || this.#tail.frames.every(mayGo);
    this.#owner.waits(this, true);
    transport.once('ready', () => this.#goOn());
  }

  /** Ends the connection at once, and forgets what waits: the client is too slow. It may come back. */
  giveUp(reason: 'slowBytes' | 'slowAge'): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#tail = undefined;
    this.#rest();
    if (this.#conn.readyState === 'closed') return;
    this.#owner.counts[reason]++;
    const { socket } = this.#conn.transport;
    // Closing it would wait until it has taken what it does not take.
    if (socket?._sender) socket.terminate();
    else this.#conn.close(true);
  }

  /** Writes a frame in the ordinary way, after what waits. */
  writeOrdinarily(frame: Frame): void {
    if (this.#tail) this.#write();
    const { counts } = this.#owner;
    counts.delivered++;
    counts.ordinary++;
    counts.writes++;
    this.#writePieces(frame);
  }

  #goOn(): void {
    this.#rest();
    if (this.#tail && this.#owner.limit !== undefined && this.#tail.count > 1) this.#trim(Infinity);
    this.flush();
  }

  #rest(): void {
    if (this.#waitingSince === undefined) return;
    this.#waitingSince = undefined;
    this.#owner.waits(this, false);
  }

  /** Keeps what waits within its bounds, or ends the connection. */
  #bound(limit: number, frame: Frame): void {
    this.#mayGo &&= mayGo(frame);
    const elsewhere = (this.#conn.writeBuffer.length > 0 ? this.#queued : 0) + this.#unsent;
    if (this.#length + elsewhere <= limit) return;
    // After a burst it has had no time to take anything yet.
    if (!this.#mayGo && isInTime(this.#waitingSince!, this.#length + elsewhere, limit)) return;
    // What the kernel has not taken cannot be left out any more: it leaves some room for what can.
    const room = this.#mayGo ? Math.max(limit - elsewhere, limit / 4) : limit - elsewhere;
    if (this.#mayGo && this.#length <= room) return;
    this.#trim(room);
    if (this.#length > (this.#mayGo ? limit : room)) this.giveUp('slowBytes');
  }

  get #length(): number {
    return this.#tail?.length ?? 0;
  }

  #trim(limit: number): void {
    const { tail, dropped, superseded } = trim(this.#tail!, limit);
    this.#tail = tail;
    this.#owner.counts.slowDropped += dropped;
    this.#owner.counts.slowSuperseded += superseded;
  }

  /** engine.io is about to put a packet behind others that are not written yet. */
  #queue(data: unknown): void {
    if (this.#conn.writeBuffer.length === 0) [this.#queued, this.#queuedSince] = [0, performance.now()];
    const limit = this.#owner.limit!;
    const waiting = this.#queued + this.#unsent;
    const isStuck = !this.#conn.transport.socket || this.#unsent > 0;
    if (isStuck && waiting > limit && !isInTime(this.#queuedSince, waiting, limit)) return this.giveUp('slowBytes');
    this.#queued += typeof data === 'string' || data instanceof Uint8Array ? data.length : 0;
  }

  /** Bytes that the kernel has not taken yet. */
  get #unsent(): number {
    return this.#conn.transport.socket?.bufferedAmount ?? 0;
  }

  #write(): void {
    const tail = this.#tail!;
    const conn = this.#conn;
    this.#tail = undefined;
    if (conn.readyState !== 'open' || this.#isGone) return;
    this.#writing = true;
    try {
      if (this.#isWatched) for (const frame of tail.frames) this.#writePieces(frame);
      else this.#writeWhole(tail);
    } catch (error) {
      this.#owner.failed(toError(error));
    } finally {
      this.#writing = false;
    }
  }

  #writeWhole({ whole, count }: Tail): void {
    const { transport, writeBuffer } = this.#conn;
    const { counts } = this.#owner;
    counts.delivered += count;
    counts.writes++;
    if (count > 1) counts.coalesced += count;
    const { socket } = transport;
    if (transport.writable && writeBuffer.length === 0 && socket?.readyState === OPEN && socket.bufferedAmount === 0) {
      socket._sender!.sendFrame!(whole);
    } else {
      // engine.io keeps the order with what it has not written yet, and knows when all of it is written.
      this.#conn.write(EMPTY, { compress: false, wsPreEncodedFrame: whole });
      this.#queued += whole[0].length;
    }
  }

  #writePieces(frame: Frame): void {
    const { protocol, transport } = this.#conn;
    const compress = frame.flags?.compress;
    for (const { data, wsPreEncodedFrame } of frame.pieces) {
      // A ready frame is one of Engine.IO 4. In 3, which clients of Socket.IO 2 speak, bytes have their type in front.
      const isReady = typeof data === 'string' || (protocol !== 3 && transport.supportsBinary);
      this.#conn.write(data, { compress, ...(isReady && { wsPreEncodedFrame }) });
    }
  }

  /** Somebody looks at each packet: they get to see each. */
  get #isWatched(): boolean {
    const conn = this.#conn;
    return (
      conn.listenerCount('packetCreate') > 1 ||
      conn.write !== this.#engineWrite ||
      isListened(conn) ||
      (conn.server !== undefined && isListened(conn.server))
    );
  }

  get #takesBinary(): boolean {
    return this.#conn.protocol !== 3 && this.#conn.transport.supportsBinary;
  }

  #inspect(transport: TransportInside): void {
    const { socket } = transport;
    this.#transport = transport;
    this.#isWebSocket =
      transport.name === 'websocket' &&
      !transport.perMessageDeflate &&
      socket?.extensions === '' &&
      typeof socket._sender?.sendFrame === 'function';
  }
}

/** Never sent: a packet with a ready frame needs no other content, which this marks as bytes. */
const EMPTY = Buffer.alloc(0);
/** How long a client may take nothing of more than its bound before it counts as slow, in ms. */
const PATIENCE = 1_000;
/** So many times its bound no client is given time to take. */
const MOST = 64;

/** @param since when it began to wait */
function isInTime(since: number, waiting: number, limit: number): boolean {
  return waiting <= MOST * limit && performance.now() - since < PATIENCE;
}

function isListened(emitter: { listenerCount(event: string): number }): boolean {
  return emitter.listenerCount('flush') > 0 || emitter.listenerCount('drain') > 0;
}
