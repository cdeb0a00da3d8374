/*
 * How much each may do: sockets, users, rooms, addresses, and the instance as a whole. All of it is counted here, in this
 * instance; what is refused is told when to try again.
 */
import type { Rate } from '@app/broadcast';
import { Inject, Injectable } from '@nestjs/common';
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { RequestError, RETRY_AFTER } from '../answer.js';
import { Sessions, type Session } from '../sessions.js';
import { SETTINGS, type Settings } from '../settings.js';
import { addressOf, type Handshake } from './address.js';
import { Buckets } from './buckets.js';
import { TokenBucket } from './token-bucket.js';

/** What there is too much of: requests, joins or rooms of a socket, messages of a user or in a room, bytes, and so on. */
export type LimitReason =
  | 'socket'
  | 'joins'
  | 'rooms'
  | 'user'
  | 'room'
  | 'slow_mode'
  | 'handshakes'
  | 'connections'
  | 'user_connections'
  | 'size';

/** Beyond the connections that are allowed, so many more are let in to be told why they are not. */
const TOLD = 100;

@Injectable()
export class LimitsService {
  /** What was refused so far, by reason. */
  readonly counts: Readonly<Record<LimitReason, number>>;
  readonly #counts: Record<LimitReason, number> = {
    socket: 0,
    joins: 0,
    rooms: 0,
    user: 0,
    room: 0,
    slow_mode: 0,
    handshakes: 0,
    connections: 0,
    user_connections: 0,
    size: 0,
  };
  readonly #settings: Settings;
  readonly #sessions: Sessions;
  readonly #requests = new WeakMap<Session, TokenBucket>();
  readonly #joins = new WeakMap<Session, TokenBucket>();
  readonly #users?: Buckets;
  readonly #rooms?: Buckets;
  readonly #handshakes?: RateLimiterMemory;

  constructor(@Inject(SETTINGS) settings: Settings, sessions: Sessions) {
    this.counts = this.#counts;
    this.#settings = settings;
    this.#sessions = sessions;
    const { RATE_LIMIT_USER, RATE_LIMIT_ROOM, HANDSHAKE_RATE } = settings;
    if (RATE_LIMIT_USER !== 'off') this.#users = new Buckets(RATE_LIMIT_USER);
    if (RATE_LIMIT_ROOM !== 'off') this.#rooms = new Buckets(RATE_LIMIT_ROOM);
    if (HANDSHAKE_RATE === 'off') return;
    const { count: points, per } = HANDSHAKE_RATE;
    this.#handshakes = new RateLimiterMemory({ points, duration: per / 1_000 });
  }

  /** Connections above which nobody is told anything. */
  get mostConnections(): number {
    const { MAX_CONNECTIONS } = this.#settings;
    return MAX_CONNECTIONS === 'off' ? Infinity : MAX_CONNECTIONS + TOLD;
  }

  /** Somebody knocks. @throws RequestError through the promise: `RATE_LIMITED` */
  async handshake(handshake: Handshake): Promise<void> {
    const address = addressOf(handshake, this.#settings.TRUST_PROXY);
    await this.#handshakes?.consume(address).catch((thrown: unknown) => {
      if (!(thrown instanceof RateLimiterRes)) throw thrown;
      throw this.refusal('handshakes', 'too many connections are made from here', thrown.msBeforeNext);
    });
  }

  /** Somebody is about to be let in. @throws RequestError `RATE_LIMITED` */
  connection(user: string): void {
    const { MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER } = this.#settings;
    if (MAX_CONNECTIONS !== 'off' && this.#sessions.size >= MAX_CONNECTIONS) {
      throw this.refusal('connections', 'this instance has as many connections as it takes', RETRY_AFTER);
    }
    if (MAX_CONNECTIONS_PER_USER !== 'off' && this.#sessions.ofUser(user).size >= MAX_CONNECTIONS_PER_USER) {
      const problem = `${user} has ${MAX_CONNECTIONS_PER_USER} connections already: close one`;
      throw this.refusal('user_connections', problem, RETRY_AFTER);
    }
  }

  /** A request of any kind but a join. @throws RequestError `RATE_LIMITED` */
  request(session: Session): void {
    const wait = take(this.#requests, session, this.#settings.RATE_LIMIT);
    if (wait > 0) throw this.refusal('socket', 'this socket asks too much at a time', wait);
  }

  /** A request to join a room. @throws RequestError `RATE_LIMITED` */
  join(session: Session): void {
    const wait = take(this.#joins, session, this.#settings.JOIN_LIMIT);
    if (wait > 0) throw this.refusal('joins', 'this socket joins too many rooms at a time', wait);
  }

  /** One more room. @throws RequestError `RATE_LIMITED` */
  room(session: Session, room: string): void {
    const { MAX_ROOMS_PER_SOCKET: most } = this.#settings;
    if (most === 'off' || session.isIn(room) || session.size < most) return;
    throw this.refusal('rooms', `this socket is in ${most} rooms already: leave one first`, RETRY_AFTER);
  }

  /** A message. @throws RequestError `RATE_LIMITED` */
  message(user: string, room: string): void {
    const now = performance.now();
    const ofUser = this.#users?.of(user, now);
    const first = ofUser?.take(now) ?? 0;
    if (first > 0) throw this.refusal('user', `${user} says too much at a time`, first);
    const second = this.#rooms?.of(room, now).take(now) ?? 0;
    if (second === 0) return;
    // Nothing was said.
    ofUser?.giveBack();
    throw this.refusal('room', `too much is said in room ${room} at a time`, second);
  }

  /** Something was refused for its size, wherever that was found. */
  tooLarge(): void {
    this.#counts.size++;
  }

  /** What is refused, counted. */
  refusal(reason: LimitReason, problem: string, retryAfter: number): RequestError {
    this.#counts[reason]++;
    return new RequestError('RATE_LIMITED', problem, Math.max(1, Math.ceil(retryAfter)));
  }
}

function take(buckets: WeakMap<Session, TokenBucket>, session: Session, rate: Rate): number {
  if (rate === 'off') return 0;
  const now = performance.now();
  let bucket = buckets.get(session);
  if (!bucket) buckets.set(session, (bucket = new TokenBucket(rate, now)));
  return bucket.take(now);
}
