/*
 * The settings of a kind of room, chosen by the part of its name before the first `:`.
 */
import { BroadcastError } from './errors.js';

/** How much of a room is kept. */
export interface HistoryOptions {
  /** Messages. 0: none, a live room. */
  readonly size: number;
  /** How long after the last of them, in ms. */
  readonly ttl: number;
}

/** Who is in a room, as it is shown. */
export interface PresenceSettings {
  /** Most members that are named; above it only how many there are. */
  readonly threshold: number;
}

/**
 * What becomes of a client that does not take what is said in its rooms: it is disconnected, and may come back and
 * recover; it misses the oldest, and is told how many; or it gets the last of each key only.
 */
export type SlowPolicy = 'disconnect' | 'drop-oldest' | 'latest';

export interface Profile {
  readonly history?: Partial<HistoryOptions>;
  readonly presence?: Partial<PresenceSettings>;
  /** The while between any two messages of a user, in ms: for whoever lets users speak. @default none */
  readonly slowMode?: number;
  /** @default 'disconnect' */
  readonly slow?: SlowPolicy;
}

export interface ProfilesOptions {
  /** History of rooms whose profile says nothing else. @default none: rooms are live */
  history?: Partial<HistoryOptions>;
  /** By name: `{ game: { history: { size: 0 } } }` is about `game`, `game:1`, `game:2` … */
  profiles?: Readonly<Record<string, Profile>>;
}

export const DEFAULT_HISTORY: HistoryOptions = { size: 0, ttl: 10 * 60_000 };
export const SLOW_POLICIES = ['disconnect', 'drop-oldest', 'latest'] as const satisfies readonly SlowPolicy[];
const MAX_SIZE = 100_000;

export class Profiles {
  readonly #history: HistoryOptions;
  readonly #named = new Map<string, HistoryOptions>();
  readonly #slow = new Map<string, SlowPolicy>();

  /** @throws BroadcastError `BAD_REQUEST` */
  constructor({ history, profiles = {} }: ProfilesOptions = {}) {
    this.#history = check('history', { ...DEFAULT_HISTORY, ...history });
    for (const [name, profile] of Object.entries(profiles)) {
      this.#named.set(name, check(`history of profile "${name}"`, { ...this.#history, ...profile.history }));
      if (profile.slow !== undefined) this.#slow.set(name, checkSlow(name, profile.slow));
    }
  }

  /** What is kept of the room, or nothing. */
  historyOf(room: string): HistoryOptions | undefined {
    const history = this.#named.size === 0 ? this.#history : (this.#named.get(nameOf(room)) ?? this.#history);
    return history.size > 0 ? history : undefined;
  }

  /** What becomes of a client that does not take what is said in the room. */
  slowOf(room: string): SlowPolicy {
    return this.#slow.get(nameOf(room)) ?? 'disconnect';
  }

  /** How long anything is kept, in ms. */
  get retention(): number {
    const kept = [this.#history, ...this.#named.values()].filter(({ size }) => size > 0);
    return Math.max(0, ...kept.map(({ ttl }) => ttl));
  }
}

/** The settings of a room's kind, where it has any of its own. */
export function profileOf(room: string, profiles: Readonly<Record<string, Profile>>): Profile | undefined {
  const name = nameOf(room);
  return Object.hasOwn(profiles, name) ? profiles[name] : undefined;
}

function nameOf(room: string): string {
  const colon = room.indexOf(':');
  return colon < 0 ? room : room.slice(0, colon);
}

function checkSlow(name: string, policy: SlowPolicy): SlowPolicy {
  if (SLOW_POLICIES.includes(policy)) return policy;
  throw new BroadcastError('BAD_REQUEST', `slow of profile "${name}": expected one of ${SLOW_POLICIES.join(', ')}`);
}

function check(what: string, history: HistoryOptions): HistoryOptions {
  const { size, ttl } = history;
  if (!Number.isInteger(size) || size < 0 || size > MAX_SIZE) {
    throw new BroadcastError('BAD_REQUEST', `${what}: expected a size from 0 to ${MAX_SIZE}`);
  }
  if (!Number.isFinite(ttl) || ttl < 1_000) {
    throw new BroadcastError('BAD_REQUEST', `${what}: expected a ttl of at least 1000 ms`);
  }
  return history;
}
