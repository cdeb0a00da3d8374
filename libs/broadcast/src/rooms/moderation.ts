/*
 * Who may not speak, or not be, in a room, and how slowly is spoken in it: known to every instance within moments, and kept
 * by the broker, where it stores, for those that start later. It knows rooms and users, not sockets: whoever has those asks
 * `find()` and listens.
 *
 * Each instance holds all of it. What is changed is stored as a record and told to everyone; when the link is new, and now
 * and then, what the broker has and what is known here are put together, the newest of each counting. So an instance that
 * was away catches up, and a broker that has forgotten is told again.
 */
import { EventEmitter } from 'node:events';
import type { Bus } from '../bus.js';
import { checkBus } from '../checks.js';
import { decodeArgs } from '../envelope.js';
import { BroadcastError, toError } from '../errors.js';
import { ulid } from '../ulid.js';

/** `mute`: may not send. `ban`: may not be there. `slow`: a while between any two messages of a user. */
export type RestrictionKind = 'mute' | 'ban' | 'slow';

export interface Restriction {
  readonly kind: RestrictionKind;
  /** @default everywhere */
  readonly room?: string;
  /** Whom it is about. @default everyone, where `kind` is `slow` */
  readonly user?: string;
  /** Of `slow`: the while, in ms. 0: none, whatever the room's profile says. */
  readonly interval?: number;
  /** When it ends, in ms since 1970. */
  readonly until: number;
  readonly reason?: string;
  /** Who has decided it. */
  readonly by?: string;
  /** When it was decided, in ms since 1970: of two about the same, the later counts. */
  readonly at: number;
  /** It is no more: kept until what it stands against would have ended, or a week. */
  readonly lifted?: true;
  /**
   * When what it has replaced would have ended, or a week later, if that is later than `until`. Until then it is kept: an instance that
   * was away would bring the other one back.
   */
  readonly replaced?: number;
  /** Sorts by time. */
  readonly id: string;
}

/** What a restriction is about. */
export interface Subject {
  kind: RestrictionKind;
  room?: string;
  user?: string;
}

export interface Restricting extends Subject {
  interval?: number;
  /** In ms. @default for good */
  duration?: number;
  reason?: string;
  by?: string;
}

/** Somebody is sent out of a room, or from everywhere. They may come back. */
export interface Kick {
  readonly user: string;
  /** @default everywhere */
  readonly room?: string;
  readonly reason?: string;
  readonly by?: string;
}

export interface ModerationEvents {
  /** It holds from now on; told once, on every instance. */
  restricted: [restriction: Restriction];
  lifted: [restriction: Restriction];
  kicked: [kick: Kick];
}

export interface ModerationOptions {
  /** Restrictions that there may be at a time, and those that were lifted before they ended. @default 20_000 */
  limit?: number;
  /** Time between two looks at what the broker has, in ms. @default 60_000 */
  interval?: number;
}

/** The end of what is for good. */
export const FOREVER = Date.UTC(9999, 0);
/** Longest text, in characters: a record stays within a kilobyte or two. */
const MAX_TEXT = 256;
/**
 * How long it is remembered that something was lifted or replaced, in ms: what an instance says that was away for longer is
 * believed.
 */
const REMEMBERED = 7 * 24 * 60 * 60_000;
/** Of the limit, those that are about rooms may take so much, and those about one room: somebody who moderates a room cannot take the rest. */
const SHARE_OF_ROOMS = 0.9;
const SHARE_OF_ROOM = 0.1;
/** Pause before the broker is asked again that did not answer, in ms. */
const RETRY = 1_000;
const KINDS: readonly unknown[] = ['mute', 'ban', 'slow'];

export class Moderation extends EventEmitter<ModerationEvents> {
  readonly #bus: Bus;
  readonly #limit: number;
  readonly #interval: number;
  readonly #known = new Map<string, Restriction>();
  /** How many there are about each user, and each slow room: most are passed over at once. */
  readonly #users = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  /** How many there are in each room, and in all rooms. */
  readonly #rooms = new Map<string, number>();
  #inRooms = 0;
  #syncing?: Promise<void>;
  #next?: Promise<void>;
  #timer?: NodeJS.Timeout;

  constructor(bus: Bus, { limit = 20_000, interval = 60_000 }: ModerationOptions = {}) {
    super();
    checkBus(bus, 'Moderation');
    this.#bus = bus;
    this.#limit = limit;
    bus.control.on('restriction', (message) => this.#merge(checkRestriction(decodeArgs(message)[0])));
    bus.control.on('kick', (message) => void this.emit('kicked', checkKick(decodeArgs(message)[0])));
    this.#interval = interval;
    bus.on('state', (state) => {
      clearTimeout(this.#timer);
      if (state === 'up') void this.#keepUp();
    });
    if (bus.state === 'up') void this.#keepUp();
  }

  /** How many are known here, those that were lifted included. */
  get size(): number {
    return this.#known.size;
  }

  /**
   * Decides a restriction, in the place of what was decided about the same before. Resolves when it is stored and told.
   *
   * @throws BroadcastError through the promise: `BAD_REQUEST`, `UNAVAILABLE`, `OVERLOADED` for too many
   */
  async restrict({ kind, room, user, interval, duration, reason, by }: Restricting): Promise<Restriction> {
    const now = Date.now();
    const until = duration === undefined ? FOREVER : Math.min(FOREVER, now + duration);
    return this.#decide({ kind, room, user, interval, until, reason, by, ...this.#stamp({ kind, room, user }, now) });
  }

  /**
   * Ends a restriction before its time. Resolves with it, or with nothing where there is none.
   *
   * @throws BroadcastError through the promise: `UNAVAILABLE`
   */
  async lift(subject: Subject, by?: string): Promise<Restriction | undefined> {
    const known = this.#holding(keyOf(subject), Date.now());
    if (!known && !this.#isUp) throw new BroadcastError('UNAVAILABLE', 'there is no link to the broker now');
    if (!known) return undefined;
    const { kind, room, user } = known;
    const until = Math.min(known.until, Date.now() + REMEMBERED);
    await this.#decide({ kind, room, user, until, by, lifted: true, ...this.#stamp(subject, Date.now()) });
    return known;
  }

  /** Sends somebody out, on every instance. @throws BroadcastError through the promise: `BAD_REQUEST`, `UNAVAILABLE` */
  async kick(kick: Kick): Promise<void> {
    await this.#bus.control.send('all', { kind: 'kick' }, [checkKick(withoutNothing(kick))]);
  }

  /** What keeps a user from speaking, or being, in a room, or everywhere: the one that ends last. */
  find(kind: 'mute' | 'ban', user: string, room?: string): Restriction | undefined {
    if (!this.#users.has(user)) return undefined;
    const now = Date.now();
    const everywhere = this.#holding(keyOf({ kind, user }), now);
    const here = room === undefined ? undefined : this.#holding(keyOf({ kind, user, room }), now);
    return here && (!everywhere || here.until > everywhere.until) ? here : everywhere;
  }

  /** How slowly is spoken in a room, where that was decided. */
  slowMode(room: string): Restriction | undefined {
    return this.#slow.has(room) ? this.#holding(keyOf({ kind: 'slow', room }), Date.now()) : undefined;
  }

  /** Those that hold, of a room or a user or all, the latest first. */
  list({ room, user }: { room?: string; user?: string } = {}): Restriction[] {
    const now = Date.now();
    return [...this.#known.values()]
      .filter((each) => !each.lifted && each.until > now)
      .filter((each) => (room === undefined || each.room === room) && (user === undefined || each.user === user))
      .sort((a, b) => b.at - a.at);
  }

  /**
   * Puts together what the broker has and what is known here. It is done by itself; asked for, it resolves when all that
   * was decided before is known here.
   *
   * @throws BroadcastError through the promise: `UNAVAILABLE`, `TIMEOUT`
   */
  sync(): Promise<void> {
    if (!this.#syncing) return (this.#syncing = this.#sync().finally(() => (this.#syncing = undefined)));
    // The one under way may have read already what was before.
    return (this.#next ??= this.#syncing
      .catch(() => undefined) // told to whoever asked for it
      .then(() => {
        this.#next = undefined;
        return this.sync();
      }));
  }

  /** Never rejects. */
  async #keepUp(): Promise<void> {
    let pause = this.#interval * (0.9 + Math.random() * 0.2);
    try {
      await this.sync();
    } catch (thrown) {
      pause = RETRY;
      const { message } = toError(thrown);
      // An outage has been told already.
      if (this.#isUp)
        this.#bus.report(new BroadcastError('UNAVAILABLE', `restrictions are not up to date: ${message}`));
    }
    clearTimeout(this.#timer);
    if (this.#isUp) this.#timer = setTimeout(() => void this.#keepUp(), pause).unref();
  }

  get #isUp(): boolean {
    return this.#bus.state === 'up';
  }

  async #sync(): Promise<void> {
    const stored = new Map<string, string>();
    for (const { key, version, payload } of await this.#bus.records.all()) {
      if (!key.startsWith(PREFIX)) continue;
      stored.set(key, version);
      try {
        this.#merge(checkRestriction(JSON.parse(payload.toString())));
      } catch (thrown) {
        this.#bus.report(new BroadcastError('UNREADABLE', `a record was passed over: ${toError(thrown).message}`));
      }
    }
    this.#sweep();
    for (const restriction of [...this.#known.values()]) {
      const version = stored.get(keyOf(restriction));
      if (version === undefined || version < restriction.id) await this.#store(restriction);
    }
  }

  async #decide(decided: Restriction): Promise<Restriction> {
    const restriction = this.#replacing(withoutNothing(decided));
    checkRestriction(restriction);
    if (!this.#known.has(keyOf(restriction)) && this.#isFull(restriction)) {
      this.#sweep();
      const full = this.#isFull(restriction);
      const problem = 'give them durations; what was lifted counts for seven days';
      if (full) throw new BroadcastError('OVERLOADED', `there are ${full} already: ${problem}`);
    }
    await this.#store(restriction);
    this.#merge(restriction);
    await this.#bus.control.send('all', { kind: 'restriction' }, [restriction]);
    return restriction;
  }

  /** What there is too much of for one more. */
  #isFull({ room }: Restriction): string | undefined {
    if (this.#known.size >= this.#limit) return `${this.#limit} restrictions`;
    if (room === undefined) return undefined;
    const [inRoom, inRooms] = [SHARE_OF_ROOM, SHARE_OF_ROOMS].map((share) => Math.ceil(share * this.#limit));
    if ((this.#rooms.get(room) ?? 0) >= inRoom!) return `${inRoom} restrictions in room ${room}`;
    return this.#inRooms >= inRooms! ? `${inRooms} restrictions in rooms` : undefined;
  }

  #store(restriction: Restriction): Promise<void> {
    const payload = Buffer.from(JSON.stringify(restriction));
    return this.#bus.records.put({
      key: keyOf(restriction),
      version: restriction.id,
      payload,
      until: endOf(restriction),
    });
  }

  /** Notes how long what is known about the same would have lasted. */
  #replacing(restriction: Restriction): Restriction {
    const known = this.#known.get(keyOf(restriction));
    const replaced = known ? Math.min(endOf(known), restriction.at + REMEMBERED) : 0;
    return replaced > endOf(restriction) ? { ...restriction, replaced } : restriction;
  }

  /** Later than what it is to replace, whatever the clock says: those of two instances differ. */
  #stamp(subject: Subject, now: number): Pick<Restriction, 'at' | 'id'> {
    const at = Math.max(now, (this.#known.get(keyOf(subject))?.at ?? 0) + 1);
    return { at, id: ulid(at) };
  }

  #merge(newer: Restriction): void {
    const key = keyOf(newer);
    const known = this.#known.get(key);
    if (known && known.id >= newer.id) return;
    const restriction = this.#replacing(newer);
    const now = Date.now();
    if (endOf(restriction) <= now) return;
    this.#known.set(key, restriction);
    if (!known) this.#count(restriction, 1);
    if (restriction.until > now) this.emit(restriction.lifted ? 'lifted' : 'restricted', restriction);
    else if (known) this.emit('lifted', restriction);
  }

  #holding(key: string, now: number): Restriction | undefined {
    const known = this.#known.get(key);
    return known && !known.lifted && known.until > now ? known : undefined;
  }

  #sweep(): void {
    const now = Date.now();
    for (const [key, restriction] of this.#known) {
      if (endOf(restriction) > now) continue;
      this.#known.delete(key);
      this.#count(restriction, -1);
    }
  }

  #count({ user, room }: Restriction, more: 1 | -1): void {
    if (user === undefined) add(this.#slow, room!, more);
    else add(this.#users, user, more);
    if (room === undefined) return;
    add(this.#rooms, room, more);
    this.#inRooms += more;
  }
}

const PREFIX = 'moderation ';

/** A space is in no name that the gateway takes, and a name with one is still not mistaken: what follows is JSON. */
function keyOf({ kind, room, user }: Subject): string {
  return `${PREFIX}${kind} ${JSON.stringify([room ?? null, user ?? null])}`;
}

function add(counts: Map<string, number>, name: string, more: number): void {
  const count = (counts.get(name) ?? 0) + more;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}

/** Until when it is kept, in ms since 1970. */
function endOf({ until, replaced = 0 }: Restriction): number {
  return Math.max(until, replaced);
}

/** @throws BroadcastError `BAD_REQUEST` */
function checkRestriction(content: unknown): Restriction {
  const { kind, room, user, interval, until, reason, by, at, lifted, replaced, id } = (content ?? {}) as Partial<
    Record<keyof Restriction, unknown>
  >;
  const texts = [room, user, reason, by].every((text) => text === undefined || isText(text));
  const numbers = [until, at, replaced ?? 0].every((number) => Number.isFinite(number));
  const isWhole = KINDS.includes(kind) && texts && numbers && typeof id === 'string' && id.length === 26;
  const isSlow = kind === 'slow';
  const isAbout = isSlow ? room !== undefined && user === undefined : user !== undefined;
  const hasInterval = isSlow && lifted === undefined ? Number.isFinite(interval) && Number(interval) >= 0 : true;
  if (isWhole && isAbout && hasInterval && (lifted === undefined || lifted === true)) return content as Restriction;
  const problem = 'it is no restriction: a ban or a mute has a user, slow mode a room and an interval';
  throw new BroadcastError('BAD_REQUEST', `${problem}, and texts of at most ${MAX_TEXT} characters`);
}

/** @throws BroadcastError `BAD_REQUEST` */
function checkKick(content: unknown): Kick {
  const { user, room, reason, by } = (content ?? {}) as Partial<Record<keyof Kick, unknown>>;
  if (isText(user) && [room, reason, by].every((text) => text === undefined || isText(text))) return content as Kick;
  throw new BroadcastError(
    'BAD_REQUEST',
    `it is no kick: expected a user, and texts of at most ${MAX_TEXT} characters`,
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT;
}

function withoutNothing<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}
