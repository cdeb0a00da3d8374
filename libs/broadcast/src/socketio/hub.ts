/*
 * Where a bus meets Socket.IO: reads each message once, whatever the number of namespaces, and hands it to those that
 * it is for. Keeps one subscription per room that has members here, in any namespace.
 */
import type { Bus, BusState } from '../bus.js';
import { decode, decodeArgs, NEWER, type Message } from '../envelope.js';
import { RecentIds } from '../recent-ids.js';
import type { Subscription } from '../subscriptions.js';

/** What the hub asks of a namespace's adapter. */
export interface HubMember {
  readonly namespace: string;
  /**
   * Writes a message to this instance's sockets: those in `room`, or all of them, but not to those in `earlier` rooms,
   * whose copies have been here. Returns whether there are any.
   */
  deliver(message: Message, room: string | undefined, earlier: readonly string[]): boolean;
  /** Hears another instance's adapter. */
  hearCluster(message: unknown): void;
  hearCount(origin: string, id: string, rooms: readonly string[]): void;
  hearCounted(id: string, counts: readonly number[]): void;
  /** The link is new: the others may have forgotten this instance. */
  announce(): void;
}

export class AdapterHub {
  readonly bus: Bus;
  readonly #members = new Map<string, Set<HubMember>>();
  readonly #rooms = new Map<string, { holders: number; subscription: Subscription }>();
  readonly #seen = new RecentIds();

  /** The ways to stop listening to the bus: it is let go of with the last member. */
  #stops: (() => void)[] = [];

  constructor(bus: Bus) {
    this.bus = bus;
  }

  add(member: HubMember): void {
    if (this.#stops.length === 0) this.#listen();
    const members = this.#members.get(member.namespace) ?? new Set();
    this.#members.set(member.namespace, members.add(member));
  }

  remove(member: HubMember): void {
    const members = this.#members.get(member.namespace);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(member.namespace);
    if (this.#members.size === 0) for (const stop of this.#stops.splice(0)) stop();
  }

  /** A namespace has its first member in a room: hears the room from when `ready()` resolves. */
  hold(room: string): Subscription {
    const held = this.#rooms.get(room) ?? {
      holders: 0,
      subscription: this.bus.subscribe(`room:${room}`, (payload) => this.#receive(room, payload)),
    };
    held.holders++;
    this.#rooms.set(room, held);
    return held.subscription;
  }

  /** A namespace has lost its last member in a room. */
  release(room: string): void {
    const held = this.#rooms.get(room);
    if (!held || --held.holders > 0) return;
    this.#rooms.delete(room);
    held.subscription.close();
  }

  /** The subscription to a room, while somebody here is in it. */
  subscription(room: string): Subscription | undefined {
    return this.#rooms.get(room)?.subscription;
  }

  #listen(): void {
    const { bus } = this;
    const announce = (state: BusState) => {
      if (state === 'up') this.#each((member) => member.announce());
    };
    bus.on('state', announce);
    this.#stops = [
      () => bus.off('state', announce),
      bus.control.on('emit', (message) => this.#emit(message)),
      bus.control.on('cluster', (message) => this.#cluster(message)),
      bus.control.on('count', (message) => this.#count(message)),
      bus.control.on('counted', (message) => this.#counted(message)),
    ];
  }

  #receive(room: string, payload: Buffer): void {
    const message = decode(payload);
    // Messages of a kind belong on the control channels; their arguments need not be anything that clients can take.
    if (message === NEWER || message.header.kind !== undefined) {
      this.bus.counts.ignored++;
      return;
    }
    this.#deliver(message, room);
  }

  /** A message to many rooms at once, or to a whole namespace. */
  #emit(message: Message): void {
    const { rooms } = message.header;
    if (rooms) for (const room of rooms) this.#deliver(message, room);
    else this.#deliver(message, undefined);
  }

  #deliver(message: Message, room: string | undefined): void {
    const { raw, rooms = [] } = message.header;
    const seen = (name: string) => {
      const key = keyOf(message, name);
      return key !== undefined && this.#seen.has(key);
    };
    // The same id said again in a room is the same message. Plain emits to one room never carry an id of somebody's choice.
    const once = room !== undefined && (!raw || rooms.length > 1);
    if (once && seen(room)) return;
    // A socket in several of the rooms gets the copy of the first that has come here: while a join is still on its way
    // to the broker, the socket is in the room already, and the room's copy does not come.
    const earlier = room === undefined ? [] : rooms.slice(0, Math.max(0, rooms.indexOf(room))).filter(seen);
    let reached = false;
    for (const member of this.#of(message)) reached = member.deliver(message, room, earlier) || reached;
    const key = once && reached ? keyOf(message, room) : undefined;
    if (key !== undefined) this.#seen.add(key);
  }

  #cluster(message: Message): void {
    const [content] = decodeArgs(message);
    for (const member of this.#of(message)) member.hearCluster(content);
  }

  #count(message: Message): void {
    const [id, rooms] = decodeArgs(message) as [string, string[]];
    for (const member of this.#of(message)) member.hearCount(message.header.origin ?? '', id, rooms);
  }

  #counted(message: Message): void {
    const [id, counts] = decodeArgs(message) as [string, number[]];
    for (const member of this.#of(message)) member.hearCounted(id, counts);
  }

  #of({ header: { nsp = '/' } }: Message): Iterable<HubMember> {
    return this.#members.get(nsp) ?? [];
  }

  #each(visit: (member: HubMember) => void): void {
    for (const members of this.#members.values()) for (const member of members) visit(member);
  }
}

/** Names a message in a room; a message without an id has no name. */
function keyOf({ header: { id, nsp = '/' } }: Message, room: string): string | undefined {
  return id === undefined ? undefined : `${nsp}\n${room}\n${id}`;
}
