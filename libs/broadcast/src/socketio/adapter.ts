/*
 * The Socket.IO adapter: `io.adapter(createAdapter(bus))`, in place of @socket.io/redis-adapter and its like. Local
 * sockets are served at once; plain emits go to the others as envelopes, and everything else that the servers ask of
 * each other as control messages.
 */
import type { Namespace } from 'socket.io';
import { Adapter, type BroadcastOptions, type Room } from 'socket.io-adapter';
import type { Bus } from '../bus.js';
import { checkBus, checkOptions } from '../checks.js';
import { stamp, type Message } from '../envelope.js';
import { BroadcastError, toError } from '../errors.js';
import type { Departure, Member } from '../membership.js';
import { looksLikeSocketId, publishToRooms } from '../routing.js';
import type { Subscription } from '../subscriptions.js';
import { VERSION } from '../version.js';
import { addressOf, bothWays, inJson, withNumbers } from './address.js';
import { answer, type Acks, type Here, type SocketDetails } from './answers.js';
import { Audiences, type Seat } from './audiences.js';
import { lazily, makeAwaitable } from './awaitable.js';
import { Counts, type SocketCount } from './counts.js';
import { Delivery, EVENT } from './delivery.js';
import { Exchange, type ExchangeListener } from './exchange.js';
import { AdapterHub, type HubMember } from './hub.js';
import { Others, type Incomplete } from './others.js';
import type { DeliveryCounts } from './outbox.js';
import { Questions } from './questions.js';
import { isAnswerTo } from './shapes.js';

export interface AdapterOptions {
  /** What this server is for, as the others are told. @default 'server' */
  role?: string;
  /** Time between two announcements that this server is there, in ms. @default 5_000 */
  heartbeatInterval?: number;
  /** Silence after which a server is taken for dead, in ms. @default 10_000 */
  heartbeatTimeout?: number;
  /** How long questions to other servers (fetchSockets, serverSideEmit …) wait for answers, in ms. @default 5_000 */
  requestsTimeout?: number;
  /** How long counting waits for the other servers, in ms. @default 500 */
  countTimeout?: number;
  /** `fetchSockets()` and the like reject when a server has not answered, instead of resolving with what there is. @default false */
  strict?: boolean;
  /** Whether the frames that one connection gets in one turn share one write. @default true */
  fast?: boolean;
  /** How long frames are gathered before they are written, in ms: saves CPU, costs as much latency. @default 0: the turn */
  coalesce?: number;
  /** Bytes that may wait for one client; beyond that the room's profile says what happens. @default any number */
  slowClientBytes?: number;
  /** How long a client may take nothing of what waits for it, in ms. Needs `slowClientBytes`. @default 30_000 */
  slowClientAge?: number;
  /** Text of the error when servers do not acknowledge a server-side event in time. @default as the Redis adapter's */
  timeoutText?: (received: number, expected: number) => string;
}

const OPTIONS = {
  role: 'text',
  heartbeatInterval: 'ms',
  heartbeatTimeout: 'ms',
  requestsTimeout: 'ms',
  countTimeout: 'ms',
  strict: 'flag',
  fast: 'flag',
  coalesce: 'window',
  slowClientBytes: 'bytes',
  slowClientAge: 'ms',
  timeoutText: 'function',
} as const;

/** Each server is one member of the bus: where several are given the same adapter, and where one is given another. */
const hubs = new WeakMap<Bus, WeakMap<Namespace['server'], AdapterHub>>();

type AdapterFactory = (nsp: Namespace) => BroadcastAdapter;

/**
 * Makes the sockets of this server hear, and be heard by, those of every other server on the bus.
 *
 * The factory is a plain function because Socket.IO calls it with `new`: an arrow function would hang.
 *
 * @throws BroadcastError `BAD_REQUEST` for what is no bus, and for options that do not exist or cannot be
 */
export function createAdapter(bus: Bus, options: AdapterOptions = {}): AdapterFactory {
  checkBus(bus, 'createAdapter');
  checkOptions('the adapter', options, OPTIONS);
  const { role = 'server', heartbeatInterval: interval = 5_000, heartbeatTimeout: timeout = 10_000 } = options;
  if (timeout <= interval) {
    const why = `heartbeatTimeout (${timeout} ms) has to be longer than heartbeatInterval (${interval} ms)`;
    throw new BroadcastError('BAD_REQUEST', `${why}, better twice as long or more`);
  }
  const ofBus = hubs.get(bus) ?? new WeakMap<Namespace['server'], AdapterHub>();
  hubs.set(bus, ofBus);
  return function (nsp: Namespace) {
    const hub = ofBus.get(nsp.server) ?? new AdapterHub(bus, { role, version: VERSION, interval, timeout }, options);
    ofBus.set(nsp.server, hub);
    return new BroadcastAdapter(nsp, hub, options);
  };
}

/** Ends of a message that need not be told: this bus was closed, or the socket that it was for went with its instance. */
const EXPECTED: ReadonlySet<string> = new Set(['CLOSED', 'NO_LISTENER']);

interface EventPacket {
  data: unknown[];
  id?: number;
}

interface SocketInside {
  adapter: Adapter;
  readonly acks: Map<number, unknown>;
}

interface NamespaceInside {
  readonly sockets: ReadonlyMap<string, SocketInside>;
  /** Those whose middlewares have not let them in yet. Not every version of Socket.IO has it. */
  readonly _preConnectSockets?: ReadonlyMap<string, SocketInside>;
}

export class BroadcastAdapter extends Adapter implements HubMember, Here {
  declare readonly nsp: Namespace;
  readonly namespace: string;

  readonly #hub: AdapterHub;
  readonly #nsp: string | undefined;
  readonly #timeoutText: (received: number, expected: number) => string;
  readonly #delivery: Delivery;
  readonly #audiences: Audiences;
  readonly #others: Others;
  /** Broadcasts to clients, of which the others collect the acknowledgements. */
  readonly #acks: Questions;
  readonly #counts: Counts;
  readonly #topics = new Map<string, ExchangeListener>();
  readonly #held = new Set<string>();
  /** Joins that the broker has not confirmed yet. */
  readonly #joining = new Set<Promise<void>>();

  constructor(nsp: Namespace, hub: AdapterHub, options: AdapterOptions = {}) {
    super(nsp);
    this.namespace = nsp.name;
    this.#hub = hub;
    this.#nsp = nsp.name === '/' ? undefined : nsp.name;
    this.#timeoutText =
      options.timeoutText ??
      ((received, expected) => `timeout reached: only ${received} responses received out of ${expected}`);
    this.#delivery = new Delivery(nsp, hub.outbox, options.fast ?? true, (room) => hub.bus.logs.profiles.slowOf(room));
    this.#audiences = new Audiences(this, (id) => this.#delivery.seat(id));
    const { requestsTimeout: timeout = 5_000, countTimeout = 500, strict = false } = options;
    const incomplete = (what: Incomplete) => this.emit('incomplete', what);
    this.#others = new Others(hub, { nsp: this.#nsp, timeout, strict, incomplete });
    this.#acks = new Questions((member) => hub.membership.check(member));
    this.#counts = new Counts({
      local: (rooms) => this.sizes(rooms),
      ask: async (rooms) => {
        const inquiry = { kind: 'rooms.sizes', args: [rooms], timeout: countTimeout };
        const { answers, silent, gone } = await this.#others.ask<number[]>(inquiry);
        return { numbers: answers, complete: silent.length + gone.length === 0 };
      },
    });
    this.on('delete-room', (room: Room) => this.#release(String(room)));
    for (const change of ['join-room', 'leave-room']) {
      this.on(change, (room: Room, id: string) => this.#audiences.changed(room, id));
    }
    makeAwaitable(nsp);
    // Here and not in init(), which Socket.IO calls from 4.8.2 on only.
    hub.add(this);
    this.#takeOver(nsp.adapter);
  }

  /** What has been written to the clients of this server, in all namespaces, in numbers that only grow. */
  get deliveries(): Readonly<DeliveryCounts> {
    return this.#hub.outbox.counts;
  }

  /** Questions that are still open. */
  get requests(): ReadonlyMap<string, unknown> {
    return this.#others.questions.open;
  }

  /** Broadcasts whose acknowledgements are still open. */
  get ackRequests(): ReadonlyMap<string, unknown> {
    return this.#acks.open;
  }

  override close(): void {
    this.#hub.outbox.flush();
    for (const room of this.#held) this.#release(room, true);
    this.#hub.remove(this);
    this.#others.questions.close();
    this.#acks.close();
  }

  // Who is where

  /**
   * Joins at once on this instance. Resolves when the broker has confirmed that the room is heard here: an emit on any
   * other instance reaches the socket from then on. Resolves, too, when the broker stays away for longer than the bus's
   * call deadline; the bus has told about that, and `isHeard()` says it.
   */
  override addAll(id: string, rooms: Set<Room>): Promise<void> | void {
    void super.addAll(id, rooms);
    const waits: Promise<void>[] = [];
    for (const room of rooms) {
      // Who looks like a socket is looked for (`waysTo`); any other id is known as a room is.
      if (room === id && looksLikeSocketId(id)) continue;
      const subscription = this.#hold(String(room));
      if (subscription && !subscription.live) waits.push(subscription.ready());
    }
    if (waits.length === 0) return;
    const joining = Promise.all(waits).then(
      () => undefined,
      (error: BroadcastError) => {
        if (error.code !== 'CLOSED') this.#hub.bus.report(error);
      },
    );
    this.#joining.add(joining);
    return joining.finally(() => this.#joining.delete(joining));
  }

  override delAll(id: string): void {
    super.delAll(id);
    this.#audiences.left(id);
  }

  /** Whether the broker has confirmed that this instance hears the room. */
  isHeard(room: string): boolean {
    return this.#hub.subscription(room)?.live ?? false;
  }

  override serverCount(): Promise<number> {
    const { membership } = this.#hub;
    return membership.isReady ? Promise.resolve(membership.size) : membership.ready.then(() => membership.size);
  }

  /** The Socket.IO servers on the bus, this one first. */
  servers(): Member[] {
    const { self, others } = this.#hub.membership;
    return [self, ...others];
  }

  /** Sockets in the room, on all servers that answer in time. */
  async countSockets(room: Room): Promise<number> {
    return (await this.#counts.of(String(room))).sockets;
  }

  /** The same, and whether all of them have answered. */
  tallySockets(room: Room): Promise<SocketCount> {
    return this.#counts.of(String(room));
  }

  /** Sockets in each room, on all servers: numbers travel, not sockets. Without the rooms of single sockets. */
  async roomStats(): Promise<Map<string, number>> {
    const others = await this.#others.gather<[string, number][]>('roomStats', { kind: 'rooms.stats' });
    const total = new Map<string, number>();
    for (const [room, size] of [...this.stats(), ...others.flat()]) total.set(room, (total.get(room) ?? 0) + size);
    return total;
  }

  /** Every room that has a socket in it, on all servers. */
  async allRooms(): Promise<Set<string>> {
    const others = await this.#others.gather<string[]>('allRooms', { kind: 'rooms.list' });
    return new Set([...this.roomNames(), ...others.flat()]);
  }

  /** Ids of the sockets in the rooms, on all servers. */
  override async sockets(rooms: Set<Room>): Promise<Set<string>> {
    return new Set((await this.fetchSockets({ rooms })).map(({ id }) => id));
  }

  /**
   * The sockets themselves where they are connected here, and a description of the others.
   *
   * When a server does not answer, resolves with what there is and emits `incomplete`; rejects if the adapter is strict.
   */
  override async fetchSockets(opts: BroadcastOptions): Promise<never[]> {
    const sockets = (await super.fetchSockets(withNumbers(opts))) as SocketDetails[];
    if (opts.flags?.local) return sockets as never[];
    const others = await this.#others.gather<SocketDetails[]>('fetchSockets', {
      kind: 'sockets.fetch',
      address: addressOf(opts),
      timeout: opts.flags?.timeout,
      heard: (answer, from) => answer.forEach(({ id }) => this.#hub.owners.learn(id, from)),
    });
    return [...sockets, ...others.flat()] as never[];
  }

  // What is said to clients

  /** Local sockets first, in the same turn; the others are told without anybody waiting for the broker. */
  override broadcast(packet: EventPacket, opts: BroadcastOptions): void {
    const { rooms, except, flags } = addressOf(opts);
    const json = this.#broadcastHere(packet, opts, rooms, except);
    if (opts.flags?.local) return;
    const channels = this.#others.waysTo(rooms, (id) => this.sids.has(id));
    const seek = channels.includes('all') && rooms.some(looksLikeSocketId) ? 1 : undefined;
    const { id, at, origin } = stamp(this.#hub.id);
    // Field by field: spreading objects took a tenth of all the time that an emit takes.
    const header = { id, at, origin, nsp: this.#nsp, except, flags, raw: 1, seek } as const;
    try {
      publishToRooms(this.#hub.bus, rooms, header, packet.data, { channels, json }).catch((error: unknown) =>
        this.dropped(error),
      );
    } catch (error) {
      // A parser of the application's own may have taken what JSON cannot carry.
      this.dropped(error);
    }
  }

  override broadcastWithAck(
    packet: EventPacket,
    opts: BroadcastOptions,
    clientCountCallback: (clients: number) => void,
    ack: (response: unknown) => void,
  ): void {
    const timeout = opts.flags?.timeout ?? 0;
    const event = [...packet.data];
    clientCountCallback(this.askHere(event, opts, timeout, ack));
    const askOthers = () => {
      const members = this.#others.ids;
      const owner = this.#others.onlyOwner(opts);
      const asked = opts.flags?.local ? [] : owner ? [owner] : members;
      // Socket.IO waits for a number of clients from each server that it knows of.
      for (const member of members) if (!asked.includes(member)) clientCountCallback(0);
      void this.#askClients(asked, owner, opts, event, timeout, clientCountCallback, ack);
    };
    // Later only where this server is too new to know the others: an emit after it must not come before it.
    if (this.#hub.membership.isReady) askOthers();
    else void this.#hub.membership.ready.then(askOthers);
  }

  // What sockets are made to do. Each may be awaited: then it has happened everywhere.

  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the operator hands it on
  override addSockets(opts: BroadcastOptions, rooms: Room[]): PromiseLike<void> {
    super.addSockets(withNumbers(opts), rooms);
    return this.#command('sockets.join', opts, [inJson(rooms)]);
  }

  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the operator hands it on
  override delSockets(opts: BroadcastOptions, rooms: Room[]): PromiseLike<void> {
    super.delSockets(withNumbers(opts), [...bothWays(new Set(rooms))]);
    return this.#command('sockets.leave', opts, [inJson(rooms)]);
  }

  // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the operator hands it on
  override disconnectSockets(opts: BroadcastOptions, close: boolean): PromiseLike<void> {
    super.disconnectSockets(withNumbers(opts), close);
    return this.#command('sockets.disconnect', opts, [close]);
  }

  // What is said to the other servers

  override serverSideEmit(packet: unknown[]): void {
    const ack = packet.at(-1);
    if (typeof ack !== 'function') {
      this.#others.tell('servers.event', {}, packet).catch((error: unknown) => this.dropped(error));
      return;
    }
    const inquiry = { kind: 'servers.ask', args: packet.slice(0, -1) };
    void this.#others.ask<[unknown]>(inquiry).then((outcome) => {
      const { answers, silent, failure } = outcome;
      if (!failure) this.#others.complain('serverSideEmit', outcome);
      const expected = answers.length + silent.length;
      const late = silent.length > 0 ? new Error(this.#timeoutText(answers.length, expected)) : null;
      (ack as (error: Error | null, answers: unknown[]) => void)(failure ?? late, answers.flat());
    });
  }

  /**
   * Opens a topic of the application's own among the servers, in place of the listener that it has here already.
   *
   * @param topic the same on every server
   */
  exchange(topic: string, listener: ExchangeListener): Exchange {
    this.#topics.set(topic, listener);
    return new Exchange(topic, this.#hub, this.#others, listener, () => {
      if (this.#topics.get(topic) === listener) this.#topics.delete(topic);
    });
  }

  // What others ask for: HubMember and Here

  deliver(message: Message, room: string | undefined, served: Set<string> | undefined): boolean {
    const { header } = message;
    if (header.raw && header.origin === this.#hub.id) return false;
    const seats = this.#seatsFor(room, header.except, served);
    if (!seats) return false;
    this.#delivery.write(message, room, seats);
    if (served) for (const { socket } of seats) served.add(socket.id);
    return true;
  }

  hear(message: Message): void {
    const reply = (value: unknown, last?: boolean) => this.#hub.answer(message, value, last);
    const answering = answer(message, this, reply);
    answering?.catch((error: unknown) => this.dropped(error));
  }

  hearAnswer(question: string, from: string, value: unknown, last: boolean): void {
    this.#others.questions.answered(question, from, value, last);
    this.#acks.answered(question, from, value, last);
  }

  memberLeft(member: string, how: Departure): void {
    this.#others.left(member, how);
    this.#acks.left(member, how);
  }

  hearEvent(event: unknown[]): void {
    try {
      (this.nsp as unknown as { _onServerSideEmit(event: unknown[]): void })._onServerSideEmit(event);
    } catch (thrown) {
      // The application's own: the broker would have its other listeners run a second time.
      this.#failed('a listener of a server-side event', toError(thrown));
    }
  }

  hearTold(topic: string, value: unknown, from: string): void {
    this.#topics.get(topic)?.told?.(value, from);
  }

  async consulted(topic: string, value: unknown, from: string): Promise<[unknown] | null> {
    const listener = this.#topics.get(topic);
    return listener?.asked ? [await listener.asked(value, from)] : null;
  }

  askHere(event: unknown[], opts: BroadcastOptions, timeout: number, ack: (response: unknown) => void): number {
    const packet: EventPacket & { type: number } = { type: EVENT, data: event };
    let clients = 0;
    let missing = 0;
    const acked = (response: unknown) => {
      if (--missing === 0) clearTimeout(timer);
      ack(response);
    };
    super.broadcastWithAck(packet, withNumbers(opts), (count) => (clients = missing = count), acked);
    // Sockets keep what waits for an answer for as long as they live.
    const forget = () => {
      for (const socket of this.nsp.sockets.values()) (socket as unknown as SocketInside).acks.delete(packet.id!);
    };
    const timer = missing > 0 ? setTimeout(forget, timeout).unref() : undefined;
    return clients;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#joining);
  }

  sizes(rooms: readonly string[]): number[] {
    return rooms.map((room) => this.#membersOf(room)?.size ?? 0);
  }

  stats(): [room: string, sockets: number][] {
    return this.roomNames()
      .filter((room) => !this.sids.has(room))
      .map((room) => [room, this.#membersOf(room)?.size ?? 0]);
  }

  roomNames(): string[] {
    return [...new Set([...this.rooms.keys()].map(String))];
  }

  /** Nobody waits for it: that it reached only this instance's sockets is counted and told. */
  dropped(error: unknown): void {
    const { bus } = this.#hub;
    bus.counts.dropped++;
    if (error instanceof BroadcastError && !EXPECTED.has(error.code)) bus.report(error);
  }

  async #askClients(
    members: readonly string[],
    owner: string | undefined,
    opts: BroadcastOptions,
    event: readonly unknown[],
    timeout: number,
    clientCountCallback: (clients: number) => void,
    ack: (response: unknown) => void,
  ): Promise<void> {
    const arrived = new Map<string, number>();
    const outcome = await this.#acks.ask<Acks | null>({
      of: members,
      timeout,
      fits: (acks) => isAnswerTo('sockets.ask', [], acks),
      send: (id) => this.#others.tell('sockets.ask', { ...addressOf(opts), id }, [timeout, ...event], owner),
      part: (acks, from, last) => {
        const { clients = 0, responses = [] } = acks ?? {};
        arrived.set(from, (arrived.get(from) ?? 0) + responses.length);
        for (const response of responses) ack(response);
        if (last) clientCountCallback(clients);
      },
      left: (from) => clientCountCallback(arrived.get(from) ?? 0),
    });
    if (outcome.failure) this.dropped(outcome.failure);
    // A silent one may only have slow clients, and who asked is told that time was up.
    else this.#others.complain('emitWithAck', { ...outcome, silent: [] });
  }

  /** To the sockets of this instance. Returns the arguments as JSON, where they travel as the clients get them. */
  #broadcastHere(packet: EventPacket, opts: BroadcastOptions, rooms: readonly string[], except?: readonly string[]) {
    if (!this.#delivery.takesOwn) {
      super.broadcast(packet, withNumbers(opts));
      return undefined;
    }
    const encoded = this.#delivery.encodeOwn(packet);
    const served = rooms.length > 1 ? new Set<string>() : undefined;
    for (const room of rooms.length > 0 ? rooms : [undefined]) {
      const seats = this.#seatsFor(room, except, served);
      if (!seats) continue;
      this.#delivery.writeOwn(packet, encoded, room, seats, opts.flags);
      if (served) for (const { socket } of seats) served.add(socket.id);
    }
    return this.#delivery.argsOf(encoded);
  }

  #failed(what: string, cause: Error): void {
    this.#hub.failed(what, cause);
  }

  /** An adapter that is replaced on a live server hands over its sockets and their rooms. */
  #takeOver(before: Adapter | undefined): void {
    if (!before) return;
    for (const [id, rooms] of before.sids) void this.addAll(id, rooms);
    const { sockets, _preConnectSockets: entering } = this.nsp as unknown as NamespaceInside;
    for (const socket of [...sockets.values(), ...(entering?.values() ?? [])]) socket.adapter = this;
    Promise.resolve(before.close()).catch((error: unknown) => this.dropped(error));
  }

  /** Tells the others what has been done here. Whoever awaits it waits until they have done it too. */
  #command(kind: string, opts: BroadcastOptions, args: readonly unknown[]): PromiseLike<void> {
    if (opts.flags?.local) return lazily(() => this.settled());
    const owner = this.#others.onlyOwner(opts);
    this.#others.tell(kind, addressOf(opts), args, owner).catch((error: unknown) => this.dropped(error));
    return lazily(async () => {
      await Promise.all([this.settled(), this.#others.settled(kind, owner)]);
    });
  }

  /** Those in the room who have not been served; nothing where nobody is in it. */
  #seatsFor(
    room: string | undefined,
    except: readonly string[] = [],
    served?: Set<string>,
  ): readonly Seat[] | undefined {
    const seats = this.#audiences.of(room);
    if (seats.length === 0) return undefined;
    if (except.length === 0 && !served?.size) return seats;
    const without = except.flatMap((name) => this.#membersOf(name) ?? []);
    return seats.filter(({ socket: { id } }) => !served?.has(id) && !without.some((sockets) => sockets.has(id)));
  }

  #membersOf(room: string): ReadonlySet<string> | undefined {
    return this.#audiences.membersOf(room);
  }

  #hold(room: string): Subscription | undefined {
    if (this.#held.has(room)) return this.#hub.subscription(room);
    this.#held.add(room);
    return this.#hub.hold(room);
  }

  #release(room: string, always = false): void {
    if ((always || !this.#membersOf(room)?.size) && this.#held.delete(room)) this.#hub.release(room);
  }
}
