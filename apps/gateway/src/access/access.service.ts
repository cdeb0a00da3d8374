/*
 * Who is let in, and for how long. What a token says holds until it ends: the client is asked for a fresh one in time, and
 * without it the socket is closed.
 */
import { Inject, Injectable } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import { RequestError } from '../answer.js';
import { check, userName } from '../requests.js';
import type { Session } from '../sessions.js';
import { SETTINGS, type Settings } from '../settings.js';
import { Patterns } from './patterns.js';
import { Tokens, type Identity } from './tokens.js';

/** A client is asked this long before its token ends, in ms, but not before half of its time is over. */
const LEAD = 60_000;
/** Node's timers take a longer one for 1 ms. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Where tokens are taken, who comes without one cannot pass for somebody who has one. */
const GUEST = 'guest-';

@Injectable()
export class AccessService {
  readonly #tokens: Tokens;
  readonly #anonymous: boolean;

  constructor(@Inject(SETTINGS) settings: Settings) {
    this.#tokens = new Tokens(settings);
    this.#anonymous = settings.AUTH_ANONYMOUS;
  }

  /**
   * Who comes, by the `auth` of the handshake.
   *
   * @throws RequestError through the promise: `UNAUTHENTICATED`, `BAD_REQUEST` for a name that cannot be, `UNAVAILABLE`
   */
  async identify({ token, user }: Record<string, unknown>): Promise<Identity> {
    if (token !== undefined && token !== null) return this.#tokens.verify(token);
    if (!this.#anonymous) throw new RequestError('UNAUTHENTICATED', 'a token is needed: io(url, { auth: { token } })');
    return { user: this.#guest(user), rooms: ALL, publish: ALL, moderate: NONE };
  }

  /** Watches the end of a session, from when it begins to when its socket is gone. */
  watch(session: Session): void {
    let timer: NodeJS.Timeout | undefined;
    let asked: Identity | undefined;
    const look = () => {
      const { identity, socket } = session;
      const { expiresAt } = identity;
      if (expiresAt === undefined) return;
      const left = expiresAt - Date.now();
      if (left <= 0) return session.close('UNAUTHENTICATED', 'the token has expired: connect again with a new one');
      const lead = Math.min(LEAD, (expiresAt - session.identifiedAt) / 2);
      if (left <= lead && asked !== identity) {
        asked = identity;
        socket.emit('server:reauth', { expiresAt, graceMs: left });
      }
      wait(left > lead ? left - lead : left);
    };
    const wait = (ms: number) => {
      timer = setTimeout(look, Math.min(Math.ceil(ms), LONGEST_TIMER)).unref();
    };
    session.onIdentity(() => {
      clearTimeout(timer);
      look();
    });
    session.onGone(() => clearTimeout(timer));
    look();
  }

  /**
   * Takes a fresh token in the place of the one before.
   *
   * @throws RequestError through the promise: `UNAUTHENTICATED`, also for the token of another user; `UNAVAILABLE`
   */
  async renew(session: Session, token: unknown): Promise<Identity> {
    const identity = await this.#tokens.verify(token);
    if (identity.user !== session.identity.user) {
      throw new RequestError('UNAUTHENTICATED', 'the token is refused: it is of another user: connect again with it');
    }
    session.identify(identity);
    return identity;
  }

  #guest(user: unknown): string {
    if (user === undefined) return GUEST + randomBytes(4).toString('hex');
    const name = check(userName, user, 'auth.user');
    if (!this.#tokens.configured || name.startsWith(GUEST)) return name;
    throw new RequestError('UNAUTHENTICATED', `without a token a name begins with ${GUEST}`);
  }
}

const ALL = new Patterns(true);
const NONE = new Patterns(false);
