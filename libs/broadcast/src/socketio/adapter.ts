/*
 * The Socket.IO adapter: `io.adapter(createAdapter(bus))`, in place of @socket.io/redis-adapter and its like. Plain
 * emits go to local sockets at once and to the others as envelopes; everything else that the instances of a server ask
 * of each other is the base class's protocol, carried as control messages.
 */
import type { Namespace, Socket } from 'socket.io';
import {
  Adapter,
  ClusterAdapterWithHeartbeat,
  MessageType,
  type BroadcastOptions,
  type ClusterMessage,
  type ClusterResponse,
} from 'socket.io-adapter';
import type { Bus } from '../bus.js';
import { decodeArgs, instanceOf, isReservedEvent, stamp, type Message } from '../envelope.js';
import { BroadcastError } from '../errors.js';
import { publishToRooms } from '../routing.js';
import type { Subscription } from '../subscriptions.js';
import { ulid } from '../ulid.js';
import { Counts } from './counts.js';
import { buildFrame, meta, type Frame } from './frame.js';
import { AdapterHub, type HubMember } from './hub.js';

export interface AdapterOptions {
  /** Time between two heartbeats, in ms. @default 5_000 */
  heartbeatInterval?: number;
  /** Silence after which an instance is taken for dead, in ms. @default 10_000 */
  heartbeatTimeout?: number;
  /** How long counting waits for the other instances, in ms. @default 500 */
  countTimeout?: number;
}

type AdapterFactory = (nsp: Namespace) => BroadcastAdapter;

/**
 * Makes the sockets of this server hear, and be heard by, those of every other server on the bus.
 *
 * The factory is a plain function because Socket.IO calls it with `new`: an arrow function would hang.
 */
export function createAdapter(bus: Bus, options: AdapterOptions = {}): AdapterFactory {
  const hub = new AdapterHub(bus);
  return function (nsp: Namespace) {
    return new BroadcastAdapter(nsp, hub, options);
  };
}

/** Socket ids look like this; every socket is in a room of that name, to which no instance subscribes. */
const SOCKET_ID = /^[\w-]{20}$/;
/** Socket.IO's packet type of an event. */
const EVENT = 2;
const HEARTBEATS: ReadonlySet<MessageType> = new Set([MessageType.INITIAL_HEARTBEAT, MessageType.HEARTBEAT]);

interface EventPacket {
  data: unknown[];
}

/** What adapters read of a Socket.IO server, and its types keep to themselves. */
interface ServerInside {
  readonly opts: { readonly parser?: unknown };
  readonly encoder: { encode(packet: { type: number; nsp: string; data: unknown[] }): (string | Buffer)[] };
}

export class BroadcastAdapter extends ClusterAdapterWithHeartbeat implements HubMember {
  declare readonly nsp: Namespace;
  readonly namespace: string;
  readonly #hub: AdapterHub;
  readonly #counts: Counts;
  readonly #held = new Set<string>();
  readonly #defaultParser: boolean;

  constructor(nsp: Namespace, hub: AdapterHub, options: AdapterOptions = {}) {
    const { heartbeatInterval = 5_000, heartbeatTimeout = 10_000, countTimeout = 500 } = options;
    super(nsp, { heartbeatInterval, heartbeatTimeout });
    // The base class draws a random id. Ours says which instance to answer to.
    Object.assign(this, { uid: `${hub.bus.instance}/${ulid()}` });
    this.namespace = nsp.name;
    this.#hub = hub;
    this.#defaultParser = (nsp.server as unknown as ServerInside).opts.parser === undefined;
    this.#counts = new Counts({
      local: (rooms) => this.#sizes(rooms),
      others: async () => (await this.serverCount()) - 1,
      ask: (id, rooms) => this.#control('all', 'count', [id, rooms]),
      timeout: countTimeout,
    });
    this.on('delete-room', (room: string) => this.#release(String(room)));
  }

  override init(): void {
    this.#hub.add(this);
    super.init();
  }

  override close(): void {
    super.close();
    this.#hub.remove(this);
    for (const room of this.#held) this.#release(room);
  }

  /**
   * Joins at once on this instance. Resolves when the broker has confirmed that the room is heard here: an emit on any
   * other instance reaches the socket from then on. Resolves, too, when the broker stays away for longer than the bus's
   * call deadline; the bus has told about that, and `isHeard()` says it.
   */
  override addAll(id: string, rooms: Set<string>): Promise<void> | void {
    void super.addAll(id, rooms);
    const waits: Promise<void>[] = [];
    for (const room of rooms) {
      if (room === id) continue;
      const subscription = this.#hold(String(room));
      if (subscription && !subscription.live) waits.push(subscription.ready());
    }
    if (waits.length === 0) return;
    return Promise.all(waits).then(
      () => undefined,
      (error: BroadcastError) => {
        if (error.code !== 'CLOSED') this.#hub.bus.report(error);
      },
    );
  }

  /** Whether the broker has confirmed that this instance hears the room. */
  isHeard(room: string): boolean {
    return this.#hub.subscription(room)?.live ?? false;
  }

  /** Sockets in the room, on all instances that answer in time. */
  countSockets(room: string): Promise<number> {
    return this.#counts.of(room);
  }

  /** Local sockets first, in the same turn; the others are told without anybody waiting for the broker. */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): Promise<void> {
    Adapter.prototype.broadcast.call(this, packet, opts);
    if (!opts.flags?.local) this.#emit(packet.data, opts);
    return Promise.resolve();
  }

  override addSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    Adapter.prototype.addSockets.call(this, opts, rooms);
    if (!opts.flags?.local) this.publish({ type: MessageType.SOCKETS_JOIN, data: { opts: plain(opts), rooms } });
    return Promise.resolve();
  }

  override delSockets(opts: BroadcastOptions, rooms: string[]): Promise<void> {
    Adapter.prototype.delSockets.call(this, opts, rooms);
    if (!opts.flags?.local) this.publish({ type: MessageType.SOCKETS_LEAVE, data: { opts: plain(opts), rooms } });
    return Promise.resolve();
  }

  override disconnectSockets(opts: BroadcastOptions, close: boolean): Promise<void> {
    Adapter.prototype.disconnectSockets.call(this, opts, close);
    if (!opts.flags?.local) this.publish({ type: MessageType.DISCONNECT_SOCKETS, data: { opts: plain(opts), close } });
    return Promise.resolve();
  }

  deliver(message: Message, room: string | undefined, earlier: readonly string[]): boolean {
    const { header } = message;
    if (header.raw && header.origin === this.uid) return false;
    const members = room === undefined ? this.sids : this.#members(room);
    if (!members || members.size === 0) return false;
    const skipped = [...(header.except ?? []), ...earlier].flatMap((name) => this.#members(name) ?? []);
    let frame: Frame | undefined;
    for (const id of members.keys()) {
      if (skipped.some((sockets) => sockets.has(id))) continue;
      const socket = this.nsp.sockets.get(id);
      if (socket) this.#write(socket, message, room, (frame ??= this.#frame(message, room)));
    }
    return true;
  }

  hearCluster(message: unknown): void {
    this.onMessage(checkCluster(message));
  }

  hearCount(origin: string, id: string, rooms: readonly string[]): void {
    if (origin === this.uid) return;
    this.#control({ instance: instanceOf(origin) }, 'counted', [id, this.#sizes(rooms)]).catch(() => undefined);
  }

  hearCounted(id: string, counts: readonly number[]): void {
    this.#counts.answered(id, counts);
  }

  announce(): void {
    this.publish({ type: MessageType.INITIAL_HEARTBEAT });
  }

  protected override async doPublish(message: ClusterMessage): Promise<string> {
    try {
      await this.#control('all', 'cluster', [message]);
    } catch (error) {
      // A heartbeat that could not be sent is told as the outage that it is a sign of.
      if (!HEARTBEATS.has(message.type)) this.#dropped(error);
    }
    return '';
  }

  protected override async doPublishResponse(requesterUid: string, response: ClusterResponse): Promise<void> {
    try {
      await this.#control({ instance: instanceOf(requesterUid) }, 'cluster', [response]);
    } catch (error) {
      // The base class only logs it. Who asked may be gone; any other failure leaves somebody waiting in vain.
      if (!(error instanceof BroadcastError && error.code === 'NO_LISTENER')) this.#dropped(error);
    }
  }

  #control(to: 'all' | { instance: string }, kind: string, args: unknown[]): Promise<void> {
    return this.#hub.bus.control.send(to, { kind, nsp: this.#nsp, origin: this.uid }, args);
  }

  #emit(args: readonly unknown[], { rooms, except = new Set(), flags }: BroadcastOptions): void {
    const names = [...rooms].map(String);
    const header = {
      ...stamp(this.uid),
      nsp: this.#nsp,
      except: except.size > 0 ? [...except].map(String) : undefined,
      flags: flags && { volatile: flags.volatile, compress: flags.compress },
      raw: 1,
    } as const;
    const everywhere = names.some((name) => SOCKET_ID.test(name));
    publishToRooms(this.#hub.bus, names, header, args, { everywhere }).catch((error: unknown) => this.#dropped(error));
  }

  /** Nobody waits for a plain emit: that it reached only this instance's sockets is counted and told. */
  #dropped(error: unknown): void {
    const { bus } = this.#hub;
    bus.counts.dropped++;
    if (error instanceof BroadcastError && error.code !== 'CLOSED') bus.report(error);
  }

  #write(socket: Socket, message: Message, room: string | undefined, frame: Frame): void {
    const { volatile, compress } = message.header.flags ?? {};
    if (volatile && !socket.conn.transport.writable) return;
    if (socket.listenersAnyOutgoing().length > 0) this.#notify(socket, this.#values(message, room));
    for (const { data, ...ready } of frame) socket.conn.write(data, { compress, ...ready });
  }

  #notify(socket: Socket, values: unknown[]): void {
    for (const listener of socket.listenersAnyOutgoing()) (listener as (...args: unknown[]) => void)(...values);
  }

  /** The default parser's packets are the bytes as they came; another parser needs the values. */
  #frame(message: Message, room: string | undefined): Frame {
    if (this.#defaultParser) return buildFrame(message, room);
    const packet = { type: EVENT, nsp: this.namespace, data: this.#values(message, room) };
    return (this.nsp.server as unknown as ServerInside).encoder.encode(packet).map((data) => ({ data }));
  }

  #values(message: Message, room: string | undefined): unknown[] {
    const values = decodeArgs(message);
    return message.header.raw ? values : [...values, meta(message.header, room)];
  }

  /** Socket.IO lets a room be a number; on the wire it is its digits. */
  #members(room: string): ReadonlySet<string> | undefined {
    const named = this.rooms.get(room);
    const numbered = /^\d+$/.test(room) ? this.rooms.get(Number(room) as unknown as string) : undefined;
    return named && numbered ? new Set([...named, ...numbered]) : (named ?? numbered);
  }

  #sizes(rooms: readonly string[]): number[] {
    return rooms.map((room) => this.#members(room)?.size ?? 0);
  }

  #hold(room: string): Subscription | undefined {
    if (this.#held.has(room)) return this.#hub.subscription(room);
    this.#held.add(room);
    return this.#hub.hold(room);
  }

  #release(room: string): void {
    if (!this.#members(room)?.size && this.#held.delete(room)) this.#hub.release(room);
  }

  get #nsp(): string | undefined {
    return this.namespace === '/' ? undefined : this.namespace;
  }
}

function plain({ rooms, except, flags }: BroadcastOptions) {
  return { rooms: [...rooms], except: [...(except ?? [])], flags: flags ?? {} };
}

/** What would break the base class, or every client of the namespace, is dropped here. @throws BroadcastError */
function checkCluster(message: unknown): ClusterMessage {
  const { uid, type, data } = (message ?? {}) as { uid?: unknown; type?: unknown; data?: unknown };
  const known = typeof uid === 'string' && typeof type === 'number';
  if (!known || (type === Number(MessageType.BROADCAST) && !isBroadcast(data))) {
    throw new BroadcastError('UNREADABLE', 'it is no message of a Socket.IO adapter');
  }
  return message as ClusterMessage;
}

function isBroadcast(data: unknown): boolean {
  const { packet } = (data ?? {}) as { packet?: { type?: unknown; data?: unknown } };
  if (packet?.type !== EVENT || !Array.isArray(packet.data)) return false;
  const event: unknown = packet.data[0];
  return typeof event === 'string' && !isReservedEvent(event);
}
