/*
 * Who is in a room, on all servers. Each server tells the others what has changed among its own members, all rooms in one
 * message and at most every 100 ms; it listens only to what is about rooms that somebody here is in, and asks for the rest
 * once. Up to a threshold members are known by name; above it only how many there are.
 *
 * It knows rooms, users and ids of sockets, and speaks through an exchange; it writes to no socket. What a lost message, an
 * outage or a dead server leaves wrong is found (messages are numbered, counts are compared) and asked for again.
 */
import type { Departure } from '../membership.js';
import { Attendance, type PresenceChange } from './attendance.js';
import { readRooms, readTelling, type RoomWord } from './presence-wire.js';
import { Roster } from './roster.js';

/** What is heard of the other servers. */
export interface PresenceListener {
  told(value: unknown, from: string): void;
  asked(value: unknown): unknown;
  joined(server: string): void;
  left(server: string, how: Departure): void;
}

/** The way to the other servers: `BroadcastAdapter.exchange()` opens one. */
export interface PresenceExchange {
  readonly others: readonly string[];
  has(server: string): boolean;
  tell(value: unknown): Promise<void>;
  ask(
    value: unknown,
    options: { timeout: number; server?: string },
  ): Promise<{ answers: ReadonlyMap<string, unknown>; missing: readonly string[] }>;
  close(): void;
}

export interface PresenceOptions {
  open: (listener: PresenceListener) => PresenceExchange;
  /** Tells the room's sockets on this server. */
  push: (room: string, change: PresenceChange) => void;
  /** Whether the link to the broker is there. @default it is */
  connected?: () => boolean;
  /** Most members of a room that are named. @default 100 */
  threshold?: (room: string) => number;
  /** How long who has lost the connection is still there, in ms. @default 5_000 */
  grace?: number;
  /** Shortest time between two messages about what has changed, in ms; longer where there are many servers. @default 100 */
  batch?: number;
  /** Shortest time between two messages about how many there are in a room, in ms. @default 1_000 */
  pace?: number;
  /** How long other servers have to answer, in ms. @default 500 */
  timeout?: number;
}

export interface RoomPresence {
  /** Users. Where they are not named, one who is on several servers may count once for each. */
  count: number;
  /** Their names; left out where there are more than the threshold. */
  members?: string[];
  /** Whether every server has said its part. */
  complete: boolean;
}

/** How often absences, missing answers and rooms that nobody is in any more are looked at, in ms. */
const TICK = 500;
/** How long a room that nobody here is in any more is kept up to date, in ms. */
const LINGER = 10_000;
/** Time between two messages for each server that hears them, in ms, and the longest. */
const PER_SERVER = 20;
const LONGEST_BATCH = 1_000;
/** Rooms in one question. */
const MAX_ASKED = 1_000;
/** This server's own part. */
const HERE = '';

interface Room {
  readonly attendance: Attendance;
  /** Servers that have not said their part yet, or lost it on the way. */
  readonly unknown: Set<string>;
  /** Users here whose coming and going the others have not been told yet. */
  readonly changed: Set<string>;
  /** What the others have been told last: nothing, names, or only how many. */
  told?: 'names' | 'count';
  toldAt: number;
  pushedAt: number;
  synced: Promise<void>;
  isSynced: boolean;
  /** When the last member here has left, or somebody has asked. */
  idleSince: number;
}

export class Presence {
  readonly #options: Required<Omit<PresenceOptions, 'open'>>;
  readonly #exchange: PresenceExchange;
  readonly #roster: Roster;
  readonly #rooms = new Map<string, Room>();
  /** Rooms with something to tell the others, and with something to tell their sockets. */
  readonly #toTell = new Set<string>();
  readonly #toPush = new Set<string>();
  /** The number of the last message heard of each server. */
  readonly #heard = new Map<string, number>();
  /** Servers that said goodbye: their members have a moment to come back elsewhere. */
  readonly #departing = new Map<string, NodeJS.Timeout>();
  #told = 0;
  #asking?: { rooms: Set<string>; answered: Promise<void> };
  #flushing?: NodeJS.Timeout;
  readonly #ticking: NodeJS.Timeout;

  constructor({ open, push, ...options }: PresenceOptions) {
    const { connected = () => true, threshold = () => 100 } = options;
    const { grace = 5_000, batch = 100, pace = 1_000, timeout = 500 } = options;
    this.#options = { push, connected, threshold, grace, batch, pace, timeout };
    this.#roster = new Roster(grace);
    this.#exchange = open({
      told: (value, from) => this.#hear(value, from),
      asked: (value) => this.#answer(readRooms(value)),
      joined: (server) => this.#serverJoined(server),
      left: (server, how) => this.#serverLeft(server, how),
    });
    this.#ticking = setInterval(() => this.#tick(), TICK).unref();
  }

  /** A user's socket has joined a room. */
  enter(room: string, user: string, socket: string): void {
    const state = this.#hold(room);
    if (this.#roster.enter(room, user, socket)) this.#changedHere(room, state, user, true);
  }

  /** It has left. @param mayReturn the connection was lost: the user is there for a while yet */
  leave(room: string, user: string, socket: string, mayReturn: boolean): void {
    if (!this.#roster.leave(room, user, socket, mayReturn)) return;
    this.#changedHere(room, this.#hold(room), user, false);
  }

  /** Who is in the room, as far as every server says within the timeout. Never rejects. */
  async of(room: string): Promise<RoomPresence> {
    const state = this.#hold(room);
    if (state.isSynced && state.unknown.size > 0) await this.#ask(room);
    else await state.synced;
    const { attendance, unknown } = state;
    const isListed = attendance.isListed(this.#options.threshold(room));
    return {
      count: attendance.count,
      ...(isListed && { members: attendance.users }),
      complete: unknown.size === 0 && this.#options.connected(),
    };
  }

  /**
   * A user has to leave a room: nobody waits for one who has lost the connection any more.
   *
   * @returns ids of the user's sockets in the room on this server, if the user is there; they are yet to leave
   */
  dismiss(room: string, user: string): string[] | undefined {
    const sockets = this.#roster.of(room).get(user);
    if (sockets?.size === 0 && this.#roster.remove(room, user)) {
      this.#changedHere(room, this.#hold(room), user, false);
    }
    return sockets && [...sockets];
  }

  /** Asks everyone again, and lets them find whether they have missed anything: after an outage nobody knows. */
  resync(): void {
    this.#tell([]);
    for (const server of this.#exchange.others) this.#doubt(server);
  }

  close(): void {
    clearInterval(this.#ticking);
    clearTimeout(this.#flushing);
    for (const timer of this.#departing.values()) clearTimeout(timer);
    this.#exchange.close();
  }

  #hold(room: string): Room {
    const held = this.#rooms.get(room);
    if (held) {
      held.idleSince = performance.now();
      return held;
    }
    const state: Room = {
      attendance: new Attendance(),
      unknown: new Set(),
      changed: new Set(),
      toldAt: -Infinity,
      pushedAt: -Infinity,
      synced: Promise.resolve(),
      isSynced: false,
      idleSince: performance.now(),
    };
    this.#rooms.set(room, state);
    state.synced = this.#ask(room).then(() => {
      state.isSynced = true;
      this.#pushLater(room);
    });
    return state;
  }

  #changedHere(room: string, { attendance, changed }: Room, user: string, isHere: boolean): void {
    attendance.change(HERE, isHere ? [user] : [], isHere ? [] : [user]);
    changed.add(user);
    this.#toTell.add(room);
    this.#pushLater(room);
  }

  // What the others are told, and what they ask

  #flush(): void {
    this.#flushing = undefined;
    const words: RoomWord[] = [];
    for (const room of this.#toTell) {
      const word = this.#wordAbout(room);
      if (!word) continue;
      this.#toTell.delete(room);
      words.push(word);
    }
    if (words.length > 0) this.#tell(words);
    for (const room of this.#toPush) if (this.#push(room)) this.#toPush.delete(room);
    if (this.#toTell.size + this.#toPush.size > 0) this.#flushLater();
  }

  #tell(words: readonly RoomWord[]): void {
    // One that is lost is noticed by the number of the next.
    this.#exchange.tell([++this.#told, words]).catch(() => undefined);
  }

  /** What has changed here; `undefined` while it is too early to say so. */
  #wordAbout(room: string): RoomWord | undefined {
    const state = this.#rooms.get(room)!;
    const users = this.#roster.of(room);
    const before = state.told;
    const names = users.size <= this.#options.threshold(room);
    const isDelta = names && before !== 'count';
    const now = performance.now();
    if (!isDelta && now - state.toldAt < this.#options.pace) return undefined;
    const changed = [...state.changed];
    state.changed.clear();
    state.toldAt = now;
    state.told = users.size === 0 ? undefined : names ? 'names' : 'count';
    if (!names) return [room, users.size];
    if (!isDelta) return [room, users.size, [...users.keys()]];
    return [room, users.size, changed.filter((user) => users.has(user)), changed.filter((user) => !users.has(user))];
  }

  #answer(rooms: readonly string[]): unknown {
    const words = rooms.flatMap((room): RoomWord[] => {
      const users = this.#roster.of(room);
      if (users.size === 0) return [];
      return [users.size > this.#options.threshold(room) ? [room, users.size] : [room, users.size, [...users.keys()]]];
    });
    return [this.#told, words];
  }

  // What is heard of the others

  #hear(value: unknown, from: string): void {
    const { n, words } = readTelling(value);
    if (!this.#exchange.has(from)) return;
    const last = this.#heard.get(from);
    this.#heard.set(from, Math.max(n, last ?? 0));
    if (last !== undefined && n > last + 1) return this.#doubt(from);
    for (const word of words) {
      const state = this.#rooms.get(word[0]);
      if (state) this.#take(state, word, from);
    }
  }

  #take(state: Room, word: RoomWord, from: string): void {
    const [room, count, first, second] = word;
    const { attendance, unknown } = state;
    if (!state.isSynced || unknown.has(from)) {
      // What is being asked for may be older than this.
      unknown.add(from);
      return;
    }
    if (second) attendance.change(from, first!, second);
    else attendance.set(from, count > 0 ? { count, ...(first && { users: new Set(first) }) } : undefined);
    const part = attendance.part(from);
    if (second && (part?.users?.size ?? (part ? -1 : 0)) !== count) unknown.add(from);
    this.#pushLater(room);
  }

  /** Asks all servers about a room: all rooms of one turn are one question. */
  #ask(room: string): Promise<void> {
    this.#asking ??= this.#gather();
    this.#asking.rooms.add(room);
    return this.#asking.answered;
  }

  #gather() {
    const rooms = new Set<string>();
    const answered = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#asking = undefined;
      return this.#inquire([...rooms]);
    });
    return { rooms, answered };
  }

  /** Never rejects: whose answer is missing is asked again later. */
  async #inquire(rooms: readonly string[], server?: string): Promise<void> {
    for (let from = 0; from < rooms.length; from += MAX_ASKED) {
      const some = rooms.slice(from, from + MAX_ASKED);
      const { timeout } = this.#options;
      const { answers, missing } = await this.#exchange.ask(some, { timeout, server });
      for (const silent of missing) {
        for (const room of some) if (this.#exchange.has(silent)) this.#rooms.get(room)?.unknown.add(silent);
      }
      for (const [from, value] of answers) this.#learn(from, some, value);
    }
  }

  #learn(from: string, rooms: readonly string[], value: unknown): void {
    const { n, words } = value === undefined ? { n: 0, words: [] } : readTelling(value);
    const isOld = n < (this.#heard.get(from) ?? 0);
    if (!isOld) this.#heard.set(from, n);
    const said = new Map(words.map((word) => [word[0], word]));
    for (const room of rooms) {
      const state = this.#rooms.get(room);
      if (!state) continue;
      const [, count = 0, users] = said.get(room) ?? [];
      const part = count > 0 ? { count, ...(users && { users: new Set(users) }) } : undefined;
      state.attendance.set(from, part, !state.isSynced);
      if (isOld) state.unknown.add(from);
      else state.unknown.delete(from);
      this.#pushLater(room);
    }
  }

  #doubt(server: string): void {
    for (const state of this.#rooms.values()) state.unknown.add(server);
    void this.#inquire([...this.#rooms.keys()], server);
  }

  #serverJoined(server: string): void {
    clearTimeout(this.#departing.get(server));
    this.#departing.delete(server);
    this.#doubt(server);
  }

  #serverLeft(server: string, how: Departure): void {
    this.#heard.delete(server);
    for (const { unknown } of this.#rooms.values()) unknown.delete(server);
    // Who has been silent has been gone for longer than anybody may take to come back.
    if (how === 'silent') return this.#forget(server);
    const timer = setTimeout(() => this.#forget(server), this.#options.grace).unref();
    clearTimeout(this.#departing.get(server));
    this.#departing.set(server, timer);
  }

  #forget(server: string): void {
    this.#departing.delete(server);
    for (const [room, { attendance }] of this.#rooms) {
      if (!attendance.part(server)) continue;
      attendance.set(server, undefined);
      this.#pushLater(room);
    }
  }

  // What the sockets here are told

  /** Whether it is done: it may be too early. */
  #push(room: string): boolean {
    const state = this.#rooms.get(room);
    if (!state?.isSynced) return true;
    const threshold = this.#options.threshold(room);
    if (this.#roster.of(room).size === 0) {
      // Nobody here to be told: who comes next is told of what changes from then on.
      state.attendance.take(threshold);
      return true;
    }
    const isPaced = !state.attendance.isListed(threshold) || state.attendance.turns(threshold);
    const now = performance.now();
    if (isPaced && now - state.pushedAt < this.#options.pace) return false;
    const change = state.attendance.take(threshold);
    if (!change) return true;
    state.pushedAt = now;
    this.#options.push(room, change);
    return true;
  }

  #pushLater(room: string): void {
    this.#toPush.add(room);
    this.#flushLater();
  }

  /** The more servers hear what each of them says, the more is put into one message. */
  #flushLater(): void {
    const { batch } = this.#options;
    const wait = Math.max(batch, Math.min(PER_SERVER * this.#exchange.others.length, LONGEST_BATCH));
    this.#flushing ??= setTimeout(() => this.#flush(), wait).unref();
  }

  #tick(): void {
    for (const { room, user } of this.#roster.expire()) this.#changedHere(room, this.#hold(room), user, false);
    const now = performance.now();
    const doubtful = new Map<string, string[]>();
    for (const [room, state] of this.#rooms) {
      if (this.#roster.of(room).size > 0) {
        for (const server of state.isSynced ? state.unknown : []) {
          doubtful.set(server, [...(doubtful.get(server) ?? []), room]);
        }
      } else if (now - state.idleSince > LINGER && !this.#toTell.has(room) && state.isSynced) this.#rooms.delete(room);
    }
    for (const [server, rooms] of doubtful) void this.#inquire(rooms, server);
  }
}
