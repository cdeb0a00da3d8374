/*
 * Where a bus meets Socket.IO: reads each message once, whatever the number of namespaces, and hands it to those that
 * it is for. Keeps one subscription per room that has members here, in any namespace.
 */
import type { Bus } from '../bus.js';
import { decode, decodeArgs, NEWER, type Message } from '../envelope.js';
import { RecentIds } from '../recent-ids.js';
import type { Subscription } from '../subscriptions.js';

/** What the hub asks of a namespace's adapter. */
export interface HubMember {
  readonly namespace: string;
  /** Writes a message to this instance's sockets: those in `room`, or all of them. Returns whether there are any. */
  deliver(message: Message, room: string | undefined): boolean;
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

  constructor(bus: Bus) {
    this.bus = bus;
    bus.control.on('emit', (message) => this.#emit(message));
    bus.control.on('cluster', (message) => this.#cluster(message));
    bus.control.on('count', (message) => this.#count(message));
    bus.control.on('counted', (message) => this.#counted(message));
    bus.on('state', (state) => {
      if (state === 'up') this.#each((member) => member.announce());
    });
  }

  add(member: HubMember): void {
    const members = this.#members.get(member.namespace) ?? new Set();
    this.#members.set(member.namespace, members.add(member));
  }

  remove(member: HubMember): void {
    const members = this.#members.get(member.namespace);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(member.namespace);
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

  #receive(room: string, payload: Buffer): void {
    const message = decode(payload, (origin) => this.bus.control.knows(origin));
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
    const { raw, id, nsp = '/' } = message.header;
    // The same id said again in a room is the same message. Plain emits never carry an id of somebody's choice.
    const key = raw || id === undefined || room === undefined ? undefined : `${nsp}\n${room}\n${id}`;
    if (key !== undefined && this.#seen.has(key)) return;
    let reached = false;
    for (const member of this.#of(message)) reached = member.deliver(message, room) || reached;
    if (key !== undefined && reached) this.#seen.add(key);
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
