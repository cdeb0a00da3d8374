/*
 * Where a bus meets a Socket.IO server: reads each message once, whatever the number of namespaces, and hands it to
 * those that it is for. Keeps one subscription per room that has members here, in any namespace, and knows the other
 * servers.
 */
import type { Bus, BusState } from '../bus.js';
import { decode, decodeArgs, instanceOf, NEWER, textOf, type Header, type Message } from '../envelope.js';
import { BroadcastError } from '../errors.js';
import { Membership, type Departure, type MembershipOptions } from '../membership.js';
import { idOf, type Position } from '../position.js';
import { RecentIds } from '../recent-ids.js';
import { looksLikeSocketId } from '../routing.js';
import type { Subscription } from '../subscriptions.js';
import { isQuestion, KINDS, names } from './answers.js';
import { Outbox, type OutboxOptions } from './outbox.js';
import { Owners } from './owners.js';
import { Served } from './served.js';

/** What the hub asks of a namespace's adapter. */
export interface HubMember {
  readonly namespace: string;
  /** Ids of the sockets here. */
  readonly sids: ReadonlyMap<string, unknown>;
  /**
   * Writes a message to this instance's sockets: those in `room`, or all of them, but not to those that it has been
   * `served` to, to whom it adds. Returns whether there are any.
   */
  deliver(message: Message, room: string | undefined, served: Set<string> | undefined): boolean;
  /** Does what another server asks for. */
  hear(message: Message): void;
  /** Hears another server's answer. */
  hearAnswer(question: string, from: string, value: unknown, last: boolean): void;
  /** Another server will not answer any more. */
  memberLeft(member: string, how: Departure): void;
}

export class AdapterHub {
  readonly bus: Bus;
  readonly membership: Membership;
  readonly owners = new Owners();
  /** The way to the clients. */
  readonly outbox: Outbox;
  readonly #members = new Map<string, Set<HubMember>>();
  readonly #rooms = new Map<string, { holders: number; subscription: Subscription }>();
  readonly #seen = new RecentIds();
  readonly #served = new Served();
  /** The ways to stop listening to the bus: it is let go of with the last member. */
  #stops: (() => void)[] = [];

  constructor(bus: Bus, membership: MembershipOptions, options: OutboxOptions) {
    this.bus = bus;
    this.outbox = new Outbox(options, (error) => this.failed('writing to a socket', error));
    this.membership = new Membership(bus, membership);
    this.membership.on('left', ({ id }, how) => {
      this.owners.forget(id);
      this.#each((member) => member.memberLeft(id, how));
    });
  }

  /** Names this server, among all that are on the bus. */
  get id(): string {
    return this.membership.self.id;
  }

  add(member: HubMember): void {
    const members = this.#members.get(member.namespace) ?? new Set();
    this.#members.set(member.namespace, members.add(member));
    if (this.#stops.length === 0) this.#listen();
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
      subscription: this.#subscribe(room),
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

  /** Sends a control message in this server's name. @throws BroadcastError through the promise */
  send(to: 'all' | { member: string }, header: { kind: string } & Partial<Header>, args: unknown[]): Promise<void> {
    const target = to === 'all' ? to : { instance: instanceOf(to.member) };
    return this.bus.control.send(target, { ...header, origin: this.id }, args);
  }

  /** Says to who asked. @throws BroadcastError through the promise */
  answer({ header: { id, nsp, origin } }: Message, value: unknown, last = true): Promise<void> {
    if (id === undefined || origin === undefined) return Promise.resolve();
    const args = last ? [id, value] : [id, value, true];
    return this.send({ member: origin }, { kind: 'sockets.answer', nsp }, args);
  }

  /** Something of the application's, or of a library's, has thrown where nobody would catch it. */
  failed(what: string, cause: Error): void {
    this.bus.counts.failed++;
    this.bus.report(new BroadcastError('LISTENER_FAILED', `${what}: ${cause.message}`, { cause }));
  }

  #listen(): void {
    const { bus, membership } = this;
    const { control } = bus;
    const announce = (state: BusState) => {
      if (state === 'up') membership.announce();
    };
    const leave = () => membership.stop();
    bus.on('state', announce);
    bus.on('closing', leave);
    this.#stops = [
      () => bus.off('state', announce),
      () => bus.off('closing', leave),
      control.on('emit', (message) => this.#emit(message)),
      control.on('sockets.answer', (message) => this.#answered(message)),
      control.on('sockets.owner', (message) => this.#owned(message)),
      ...KINDS.map((kind) => control.on(kind, (message) => this.#hear(kind, message))),
      leave,
    ];
    membership.start();
  }

  /** A room with history is heard from its log. */
  #subscribe(room: string): Subscription {
    const { bus } = this;
    if (!bus.logs.historyOf(room)) return bus.subscribe(`room:${room}`, (payload) => this.#receive(room, payload));
    return bus.logs.follow(room, (payload, pos) => this.#receive(room, payload, pos));
  }

  #receive(room: string, payload: Buffer, pos?: Position): void {
    const message = decode(payload);
    // Messages of a kind belong on the control channels; their arguments need not be anything that clients can take.
    if (message === NEWER || message.header.kind !== undefined) {
      this.bus.counts.ignored++;
      return;
    }
    this.#deliver(pos === undefined ? message : placed(message, payload, pos), room);
  }

  /** A message to many rooms at once, to sockets by their ids, or to a whole namespace. */
  #emit(message: Message): void {
    const { rooms, seek, raw, origin } = message.header;
    if (raw && origin === this.id) return;
    if (!rooms?.length) return this.#deliver(message, undefined);
    const members = [...this.#of(message)];
    // Without an id it has no copies that would come later.
    const served = new Set<string>();
    for (const room of new Set(rooms)) {
      const here = this.#rooms.has(room) || members.some(({ sids }) => sids.has(room));
      if (here) this.#deliver(message, room, served);
    }
    if (seek) this.#tellOwned(message, rooms);
  }

  /** @param inTurn the sockets that have had it already where it has no name, to be added to */
  #deliver(message: Message, room: string | undefined, inTurn?: Set<string>): void {
    const { raw, rooms = [] } = message.header;
    // The same id said again in a room is the same message. A plain emit comes again only where it takes several ways,
    // or where the broker delivers once more what another listener of this process could not handle.
    const { redelivers } = this.bus.transport.features;
    const once = redelivers || (room !== undefined && (!raw || rooms.length > 1 || looksLikeSocketId(room)));
    if (once && this.#hasSeen(message, room)) return;
    // A socket in several of the rooms gets the copy that comes first, wherever it is when the others come.
    const name = rooms.length > 1 ? keyOf(message) : undefined;
    const served = name === undefined ? inTurn : this.#served.of(name);
    const reached = this.#traced(message, room, served);
    if (reached) this.#time(message);
    const key = once && reached ? keyOf(message, room) : undefined;
    if (key !== undefined) this.#seen.add(key);
    // Where the last room is named before, too, others come after its copy.
    const isLast = room !== undefined && room === rooms.at(-1) && rooms.indexOf(room) === rooms.length - 1;
    if (name !== undefined && isLast) this.#served.done(name);
  }

  #traced(message: Message, room: string | undefined, served: Set<string> | undefined): boolean {
    const { traceparent, id } = message.header;
    if (traceparent === undefined) return this.#handOut(message, room, served);
    const attributes = () => ({
      'messaging.system': 'roomcast',
      ...(room !== undefined && { 'messaging.destination.name': room }),
      ...(id !== undefined && { 'messaging.message.id': id }),
      'roomcast.instance': this.bus.instance,
    });
    return this.bus.tracing.consume('deliver', traceparent, attributes, () => this.#handOut(message, room, served));
  }

  #handOut(message: Message, room: string | undefined, served: Set<string> | undefined): boolean {
    let reached = false;
    for (const member of this.#of(message)) reached = member.deliver(message, room, served) || reached;
    return reached;
  }

  /** What was said elsewhere than on an instance has no time that is its sender's. */
  #time({ header: { at, origin } }: Message): void {
    if (at !== undefined && origin !== undefined) this.bus.timings.delivery.add(Date.now() - at);
  }

  #hasSeen(message: Message, room: string | undefined): boolean {
    const key = keyOf(message, room);
    return key !== undefined && this.#seen.has(key);
  }

  #hear(kind: string, message: Message): void {
    if (message.header.origin === this.id) return;
    let here = false;
    for (const member of this.#of(message)) {
      here = true;
      member.hear(message);
    }
    // Nobody is waited for because a namespace is not open here.
    if (!here && isQuestion(kind)) this.answer(message, null).catch(() => undefined);
  }

  #answered(message: Message): void {
    const [id, value, more] = decodeArgs(message);
    const question = textOf(id);
    const { origin = '' } = message.header;
    for (const member of this.#of(message)) member.hearAnswer(question, origin, value, more !== true);
  }

  /** Which of these sockets are connected here: what is for them may then come straight. */
  #tellOwned(message: Message, rooms: readonly string[]): void {
    const { nsp, origin } = message.header;
    if (origin === undefined || origin === this.id) return;
    const members = [...this.#of(message)];
    const owned = rooms.filter((room) => members.some(({ sids }) => sids.has(room)));
    if (owned.length === 0) return;
    this.send({ member: origin }, { kind: 'sockets.owner', nsp }, [owned]).catch(() => undefined);
  }

  #owned(message: Message): void {
    const sockets = names(decodeArgs(message)[0]);
    const { origin = '' } = message.header;
    if (!this.membership.has(origin)) return;
    for (const socket of sockets) this.owners.learn(String(socket), origin);
  }

  #of({ header: { nsp = '/' } }: Message): Iterable<HubMember> {
    return this.#members.get(nsp) ?? [];
  }

  #each(visit: (member: HubMember) => void): void {
    for (const members of this.#members.values()) for (const member of members) visit(member);
  }
}

/** As it is in its log: with its place, and an id in any case. */
function placed(message: Message, payload: Buffer, pos: Position): Message {
  const { header } = message;
  return { ...message, pos, header: header.id === undefined ? { ...header, id: idOf(payload, pos) } : header };
}

/** Names a message in a room; a message without an id has no name. */
function keyOf({ header: { id, nsp = '/' } }: Message, room = ''): string | undefined {
  return id === undefined ? undefined : `${nsp}\n${room}\n${id}`;
}
