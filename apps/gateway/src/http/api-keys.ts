/*
 * Who may call the HTTP API: services that have one of the keys. Where there are no keys only this machine may, and in
 * production nobody.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { RequestError } from '../answer.js';

export interface ApiKeySettings {
  API_KEYS?: readonly string[];
  NODE_ENV?: string;
}

/** What a request says about where it comes from. */
export interface Caller {
  headers: IncomingHttpHeaders;
  /** Address of the other end of the connection. */
  address: string | undefined;
}

const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/;
const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;
/** Proxies set them: behind one, whoever connects from this machine may be anybody. */
const OF_PROXIES = ['x-forwarded-for', 'x-real-ip', 'forwarded', 'via'];

export class ApiKeys {
  readonly #digests: readonly Buffer[];
  readonly #isProduction: boolean;

  constructor({ API_KEYS = [], NODE_ENV }: ApiKeySettings) {
    this.#digests = API_KEYS.map(digest);
    this.#isProduction = NODE_ENV === 'production';
  }

  /** What an operator should know at the start, if anything. */
  get warning(): string | undefined {
    if (this.#digests.length > 0) return undefined;
    if (this.#isProduction) return 'API_KEYS is not set: the HTTP API under /v1 refuses every request';
    return 'API_KEYS is not set: the HTTP API under /v1 answers requests from this machine only';
  }

  /** @throws RequestError `UNAUTHENTICATED` */
  check({ headers, address = '' }: Caller): void {
    if (this.#digests.length === 0) return this.#checkLocal(headers, address);
    const [, key] = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? [];
    if (key === undefined) throw refused('send an API key as Authorization: Bearer <key>');
    const given = digest(key);
    // All of them are compared, and each in constant time: how long it takes says nothing about any.
    const matching = this.#digests.filter((known) => timingSafeEqual(known, given));
    if (matching.length === 0) throw refused('the API key is not known here');
  }

  #checkLocal(headers: IncomingHttpHeaders, address: string): void {
    if (this.#isProduction) throw refused('no API keys are configured here: the operator has to set API_KEYS');
    const { host = '', origin = `http://${host}` } = headers;
    const isLocal = LOOPBACK.test(address) && LOCAL_HOST.test(host) && origin === `http://${host}`;
    if (!isLocal || OF_PROXIES.some((name) => headers[name] !== undefined)) {
      throw refused('without API_KEYS only this machine may call, straight, and no other page: set API_KEYS');
    }
  }
}

/** Keys of one length, whatever theirs. */
function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function refused(why: string): RequestError {
  return new RequestError('UNAUTHENTICATED', why);
}
