/*
 * Moderation, for the sockets of this instance: what was decided on any of them is enforced here. For sockets and the HTTP
 * API alike.
 */
import {
  BroadcastError,
  BrokerRefusal,
  Bus,
  FOREVER,
  Moderation,
  profileOf,
  type Kick,
  type Restriction,
  type RestrictionKind,
} from '@app/broadcast';
import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { RequestError } from '../answer.js';
import { LimitsService } from '../limits/limits.service.js';
import { Sessions, type Session } from '../sessions.js';
import { SETTINGS, type Settings } from '../settings.js';
import type { Restrict, Slow } from './requests.js';
import { SlowMode } from './slow-mode.js';

/** Told whether the message was said. */
export type Settle = (said: boolean) => void;

/** A restriction, as it is shown: without an end where it is for good. */
export type ShownRestriction = Pick<Restriction, 'kind' | 'room' | 'user' | 'interval' | 'reason' | 'by' | 'at'> & {
  until?: number;
};

const NOTHING: Settle = () => undefined;

@Injectable()
export class ModerationService implements OnModuleInit {
  readonly #logger = new Logger('Moderation');
  readonly #moderation: Moderation;
  readonly #sessions: Sessions;
  readonly #limits: LimitsService;
  readonly #slow: SlowMode;
  readonly #profiles: Settings['ROOM_PROFILES'];

  constructor(
    bus: Bus,
    moderation: Moderation,
    sessions: Sessions,
    limits: LimitsService,
    @Inject(SETTINGS) { ROOM_PROFILES }: Settings,
  ) {
    this.#moderation = moderation;
    this.#sessions = sessions;
    this.#limits = limits;
    this.#slow = new SlowMode(bus);
    this.#profiles = ROOM_PROFILES;
    moderation.on('restricted', (restriction) => this.#enforce(restriction));
    moderation.on('lifted', (restriction) => this.#tell(restriction, true));
    moderation.on('kicked', (kick) => this.#kick(kick));
  }

  /** Nobody comes in before it is known who may not. Without a broker nobody gets far, and it is read when it is there. */
  async onModuleInit(): Promise<void> {
    await this.#moderation.sync().catch((error: unknown) => {
      if (!(error instanceof BroadcastError)) throw error;
      // The bus tells it.
      if (error instanceof BrokerRefusal) return;
      this.#logger.warn(`restrictions are not known yet: ${error.message}`);
    });
  }

  /** @throws RequestError `FORBIDDEN` for who is banned from the room, or everywhere */
  checkBan(user: string, room?: string): void {
    const ban = this.#moderation.find('ban', user, room);
    if (ban) throw forbidden(ban, 'banned');
  }

  /** Whether somebody may speak now. @throws RequestError `FORBIDDEN` for who is muted, `RATE_LIMITED` in slow mode */
  checkSend({ identity: { user, moderate } }: Session, room: string): Settle {
    const mute = this.#moderation.find('mute', user, room);
    if (mute) throw forbidden(mute, 'muted');
    const interval = this.slowModeOf(room);
    if (interval === 0 || moderate.match(room)) return NOTHING;
    const wait = this.#slow.wait(user, room, interval);
    if (wait === 0) return this.#slow.begin(user, room, interval);
    throw this.#limits.refusal('slow_mode', `room ${room} is in slow mode: one message every ${interval} ms`, wait);
  }

  /** The while between two messages of a user in a room, in ms. 0: none. */
  slowModeOf(room: string): number {
    const decided = this.#moderation.slowMode(room);
    if (decided) return decided.interval ?? 0;
    return profileOf(room, this.#profiles)?.slowMode ?? 0;
  }

  /** @throws BroadcastError through the promise: `UNAVAILABLE`, `OVERLOADED` */
  async restrict(kind: 'mute' | 'ban', request: Restrict, by: string): Promise<ShownRestriction> {
    return shown(await this.#moderation.restrict({ kind, ...request, by }));
  }

  /** @returns whether there was one */
  async lift(kind: RestrictionKind, about: { user?: string; room?: string }, by: string): Promise<boolean> {
    return (await this.#moderation.lift({ kind, ...about }, by)) !== undefined;
  }

  /** Changes how slowly is spoken in a room. @returns the while that holds now, in ms */
  async slow({ room, interval, duration, reason }: Slow, by: string): Promise<number> {
    if (interval === null) await this.#moderation.lift({ kind: 'slow', room }, by);
    else await this.#moderation.restrict({ kind: 'slow', room, interval, duration, reason, by });
    return this.slowModeOf(room);
  }

  kick(kick: Kick): Promise<void> {
    return this.#moderation.kick(kick);
  }

  /** The latest first. */
  list(filter: { room?: string; user?: string }, limit: number): ShownRestriction[] {
    return this.#moderation.list(filter).slice(0, limit).map(shown);
  }

  #enforce(restriction: Restriction): void {
    const { kind, user, room, reason } = restriction;
    if (kind !== 'ban' || user === undefined) return this.#tell(restriction);
    const { message, retryAfter } = forbidden(restriction, 'banned');
    for (const session of this.#sessions.ofUser(user)) {
      if (room === undefined) session.close('FORBIDDEN', message, retryAfter);
      else void session.expel(room, { reason: 'banned', message: reason, retryAfter });
    }
  }

  #kick({ user, room, reason }: Kick): void {
    for (const session of this.#sessions.ofUser(user)) {
      if (room === undefined) session.close('FORBIDDEN', `you were sent out: ${reason ?? 'kicked'}`);
      else void session.expel(room, { reason: 'kicked', message: reason });
    }
  }

  /** Those who are muted, or everyone in a slow room. */
  #tell(restriction: Restriction, lifted = false): void {
    const { kind, user, room } = restriction;
    if (kind === 'ban') return;
    const told = { ...toldOf(restriction), ...(lifted && { lifted }) };
    const sessions = user === undefined ? this.#sessions.all() : this.#sessions.ofUser(user);
    for (const { socket } of sessions) {
      if (room === undefined || socket.rooms.has(room)) socket.emit('room:moderation', told);
    }
  }
}

/** Not who decided it: that is for moderators. */
function toldOf(restriction: Restriction): object {
  const { kind, room, interval, until, reason } = shown(restriction);
  return { kind, room, interval, until, reason };
}

function shown({ kind, room, user, interval, reason, by, at, until }: Restriction): ShownRestriction {
  return { kind, room, user, interval, reason, by, at, ...(until < FOREVER && { until }) };
}

function forbidden({ room, until, reason }: Restriction, what: string): RequestError {
  const where = room === undefined ? '' : ` in room ${room}`;
  const why = reason === undefined ? '' : `: ${reason}`;
  const retryAfter = until < FOREVER ? Math.max(1, until - Date.now()) : undefined;
  return new RequestError('FORBIDDEN', `you are ${what}${where}${why}`, retryAfter);
}
