/*
 * Who else is there: every server announces itself, says goodbye when it closes, and is forgotten when it falls silent
 * or when the broker says that nobody hears it any more. Processes that only emit never announce themselves, and are
 * never waited for.
 */
import { EventEmitter } from 'node:events';
import type { Control } from './control.js';
import { pause } from './deadline.js';
import { decodeArgs, instanceOf, textOf, type Message } from './envelope.js';
import { BroadcastError } from './errors.js';
import { ulid } from './ulid.js';

export interface Member {
  /** `<instance>/<part>`: one process may have several Socket.IO servers. */
  readonly id: string;
  /** What it is for: `server`, `gateway` … */
  readonly role: string;
  /** Version of the library that it runs. */
  readonly version: string;
  /** When its process joined the bus, in ms since 1970. */
  readonly startedAt: number;
}

export interface MembershipOptions {
  role: string;
  version: string;
  /** Time between two announcements, in ms. */
  interval: number;
  /** Silence after which a member is forgotten, in ms. */
  timeout: number;
}

/** How a member went: it said goodbye, the broker knows nobody by its name any more, or it fell silent. */
export type Departure = 'closed' | 'gone' | 'silent';

export interface MembershipEvents {
  joined: [member: Member];
  left: [member: Member, how: Departure];
}

/** The part of the bus that this needs. */
export interface MembershipBus {
  readonly instance: string;
  readonly startedAt: number;
  readonly control: Control;
  readonly state: string;
  /** Longest time between two attempts of an instance to connect, in ms. */
  readonly longestPause: number;
}

/** Looks at the silence of members per announcement of our own. */
const TICKS = 5;
/** How long the others have to answer the first announcement before anybody relies on knowing them all, in ms. */
const GREETING = 100;
/** Looks for one member, at most this often, in ms. */
const CHECK_INTERVAL = 500;
/** More members than anybody runs; announcements beyond them are ignored. */
const MAX_MEMBERS = 2_000;
/** Longest of their words, in characters. */
const MAX_LENGTH = 128;

export class Membership extends EventEmitter<MembershipEvents> {
  readonly self: Member;

  readonly #bus: MembershipBus;
  readonly #tick: number;
  readonly #maxSilence: number;
  /** Silence is counted in ticks of our own timer: a process that was frozen for a minute has not heard for one. */
  readonly #others = new Map<string, { member: Member; silence: number }>();
  readonly #checked = new Map<string, number>();
  #ready = Promise.resolve();
  #isReady = true;
  #stops: (() => void)[] = [];

  constructor(bus: MembershipBus, { role, version, interval, timeout }: MembershipOptions) {
    super();
    this.#bus = bus;
    this.#tick = interval / TICKS;
    this.#maxSilence = Math.ceil(timeout / this.#tick);
    this.self = { id: `${bus.instance}/${ulid()}`, role, version, startedAt: bus.startedAt };
  }

  /** Everyone but this one. */
  get others(): Member[] {
    return [...this.#others.values()].map(({ member }) => member);
  }

  /** Whether this one has been there long enough to know the others. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when this one has been there long enough to know the others. Never rejects. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  get size(): number {
    return 1 + this.#others.size;
  }

  has(id: string): boolean {
    return this.#others.has(id);
  }

  /** Joins: announces itself from now on, and hears the others. */
  start(): void {
    const { control } = this.#bus;
    let ticks = 0;
    const timer = setInterval(() => {
      this.#sweep();
      if (++ticks % TICKS === 0) void this.#say('all', false);
    }, this.#tick).unref();
    this.#stops = [
      () => clearInterval(timer),
      control.on('member', (message) => this.#heard(message)),
      control.on('left', (message) => this.#forget(textOf(decodeArgs(message)[0]), 'closed')),
      // Only that it arrives matters.
      control.on('ping', () => undefined),
    ];
    const life = new AbortController();
    this.#stops.push(() => life.abort());
    this.#isReady = false;
    this.#ready = this.#say('all', true)
      .then(() => pause(GREETING, life.signal))
      .then(() => void (this.#isReady = true));
  }

  /** Leaves, and says so. Does nothing where it has left. */
  stop(): void {
    if (this.#stops.length === 0) return;
    for (const stop of this.#stops.splice(0)) stop();
    this.#others.clear();
    this.#bus.control.send('all', { kind: 'left', origin: this.self.id }, [this.self.id]).catch(() => undefined);
  }

  /**
   * Tells everyone, and asks them to answer: when the link is new and the others may have forgotten. They may have lost theirs too,
   * and be about to try again only.
   */
  announce(): void {
    const pause = Math.ceil(this.#bus.longestPause / this.#tick);
    for (const other of this.#others.values()) other.silence = -pause;
    void this.#say('all', true);
  }

  /** Somebody has not answered: it is forgotten at once if the broker knows nobody by that name any more. */
  check(id: string): void {
    const last = this.#checked.get(id) ?? -Infinity;
    if (!this.#others.has(id) || performance.now() - last < CHECK_INTERVAL) return;
    this.#checked.set(id, performance.now());
    this.#bus.control
      .send({ instance: instanceOf(id) }, { kind: 'ping', origin: this.self.id }, [])
      .catch((error: unknown) => {
        if (error instanceof BroadcastError && error.code === 'NO_LISTENER') this.#forget(id, 'gone');
      });
  }

  #say(to: 'all' | { instance: string }, greet: boolean): Promise<void> {
    // An announcement that could not be sent is told as the outage that it is a sign of.
    return this.#bus.control
      .send(to, { kind: 'member', origin: this.self.id }, greet ? [this.self, true] : [this.self])
      .catch(() => undefined);
  }

  #heard(message: Message): void {
    const [content, greet] = decodeArgs(message);
    const member = checkMember(content);
    if (member.id === this.self.id) return;
    if (greet === true) {
      this.#supersede(member);
      void this.#say({ instance: instanceOf(member.id) }, false);
    }
    const known = this.#others.has(member.id);
    if (!known && this.#others.size >= MAX_MEMBERS) return;
    this.#others.set(member.id, { member, silence: 0 });
    if (!known) this.emit('joined', member);
  }

  /**
   * A process that was started again under the same name: those of the one before can no longer say goodbye. Earlier or
   * later says nothing about which is which: clocks differ, and are set back.
   */
  #supersede({ id, startedAt }: Member): void {
    for (const { member } of this.#others.values()) {
      const before = instanceOf(member.id) === instanceOf(id) && member.startedAt !== startedAt;
      if (before) this.#forget(member.id, 'gone');
    }
  }

  #sweep(): void {
    // While nothing can be heard, silence says nothing: they are most likely all there when the link is back.
    if (this.#bus.state !== 'up') return;
    for (const [id, other] of this.#others) {
      if (++other.silence > this.#maxSilence) this.#forget(id, 'silent');
    }
  }

  #forget(id: string, how: Departure): void {
    const other = this.#others.get(id);
    if (!other) return;
    this.#others.delete(id);
    this.#checked.delete(id);
    this.emit('left', other.member, how);
  }
}

/** @throws BroadcastError `UNREADABLE` */
function checkMember(content: unknown): Member {
  const { id, role, version, startedAt } = (content ?? {}) as Partial<Record<keyof Member, unknown>>;
  const texts = [id, role, version].every((value) => typeof value === 'string' && value.length <= MAX_LENGTH);
  if (!texts || !Number.isFinite(startedAt)) throw new BroadcastError('UNREADABLE', 'it does not describe a member');
  return { id, role, version, startedAt } as Member;
}
