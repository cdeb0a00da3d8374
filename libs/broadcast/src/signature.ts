/*
 * Whether a message comes from somebody who knows the secret: seals what this instance sends and opens what it hears. It
 * knows channels and bytes, not what is in the messages, nor what becomes of those that it refuses.
 *
 *   0x02 · uint64 ms since 1970 at which it was signed · 32 bytes of HMAC · the message, unchanged
 *
 * The HMAC is over the channel, a zero byte, the time and the message: none of them can be exchanged. Control messages
 * make instances act, so they have to be signed, within the last 30 s, and are taken once. Room messages are only shown:
 * anybody who may publish may say them, unless signatures are required, and they have no age, since brokers deliver
 * again and what is stored is read late. Records make instances act, and have no age either.
 */
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import { BroadcastError } from './errors.js';
import { RecentMacs } from './recent-macs.js';
import type { Channel } from './transport.js';

/** What is signed: what travels on a channel, or a record that is stored. */
export type Sealed = Channel | 'records';

export interface SignatureOptions {
  /**
   * What all instances know and nobody else: 16 characters or more. Of several the first signs and all verify, so that
   * they can be exchanged one instance after the other. @default none: nothing is signed, signatures are not verified
   */
  secret?: string | readonly string[];
  /** Whether room messages are signed too, and unsigned ones refused. Needs a secret. @default false */
  requireSigned?: boolean;
}

/** First byte of a signed message. A text message begins with `{`, a binary one with 0x01. */
export const SIGNED = 0x02;
/** Characters of the shortest secret. */
export const SHORTEST_SECRET = 16;

const TIME_AT = 1;
const MAC_AT = 9;
const MESSAGE_AT = 41;
/** How far the time of a control message may be from this instance's clock, either way, in ms. */
const WINDOW = 30_000;

export class Signature {
  /** The first signs, all verify. */
  readonly #keys: readonly KeyObject[];
  readonly #signsRooms: boolean;
  /** Control messages that were taken. One of a clock ahead of this one could be taken for twice the window. */
  readonly #taken = new RecentMacs(2 * WINDOW);

  /** @throws BroadcastError `BAD_REQUEST` for a short secret, or signatures required without one */
  constructor({ secret = [], requireSigned = false }: SignatureOptions = {}) {
    const secrets = typeof secret === 'string' ? [secret] : secret;
    if (secrets.some(({ length }) => length < SHORTEST_SECRET)) {
      throw new BroadcastError('BAD_REQUEST', `a secret is too short: give it ${SHORTEST_SECRET} characters or more`);
    }
    if (requireSigned && secrets.length === 0) {
      const why = 'without one no signature can be verified, and every room would be silent';
      throw new BroadcastError('BAD_REQUEST', `requireSigned needs a secret: ${why}`);
    }
    this.#keys = secrets.map((each) => createSecretKey(each, 'utf8'));
    this.#signsRooms = requireSigned;
  }

  /**
   * The message as it travels on the channel: signed where that is demanded.
   *
   * @throws BroadcastError `BAD_REQUEST` when it begins like a signed one: it would be heard without its first 41 bytes
   */
  seal(channel: Sealed, message: Buffer): Buffer {
    if (message[0] === SIGNED) {
      throw new BroadcastError('BAD_REQUEST', 'a message may not begin with the byte 0x02: it marks signed ones');
    }
    const [key] = this.#keys;
    if (!key || !this.#demandedOn(channel)) return message;
    const sealed = Buffer.allocUnsafe(MESSAGE_AT + message.length);
    sealed[0] = SIGNED;
    sealed.writeBigUInt64BE(BigInt(Date.now()), TIME_AT);
    message.copy(sealed, MESSAGE_AT);
    macOf(key, channel, sealed).copy(sealed, MAC_AT);
    return sealed;
  }

  /**
   * The message without its signature.
   *
   * @throws BroadcastError `UNTRUSTED`, or `UNREADABLE` when it ends before the signature does and there is no secret
   */
  open(channel: Sealed, payload: Buffer): Buffer {
    if (payload[0] !== SIGNED) {
      if (this.#demandedOn(channel)) throw untrusted('it is not signed; its sender needs the secret');
      return payload;
    }
    if (this.#keys.length > 0) this.#verify(channel, payload);
    else if (payload.length < MESSAGE_AT) throw new BroadcastError('UNREADABLE', 'it ends within its signature');
    return payload.subarray(MESSAGE_AT);
  }

  /** Whether it is signed as this instance would: by its first secret, or not at all. */
  isCurrent(channel: Sealed, payload: Buffer): boolean {
    const [key] = this.#keys;
    if (payload[0] !== SIGNED) return !key || !this.#demandedOn(channel);
    return key !== undefined && timingSafeEqual(macOf(key, channel, payload), payload.subarray(MAC_AT, MESSAGE_AT));
  }

  /** Where unsigned messages are refused, this instance signs its own. */
  #demandedOn(channel: Sealed): boolean {
    return this.#signsRooms || (this.#keys.length > 0 && !isRoom(channel));
  }

  #verify(channel: Sealed, payload: Buffer): void {
    const mac = payload.subarray(MAC_AT, MESSAGE_AT);
    const whole = payload.length >= MESSAGE_AT;
    if (!whole || !this.#keys.some((key) => timingSafeEqual(macOf(key, channel, payload), mac))) {
      throw untrusted('its signature is wrong; its sender needs the same secret');
    }
    // What is stored is read late, and again and again.
    if (isRoom(channel) || channel === 'records') return;
    const age = Date.now() - Number(payload.readBigUInt64BE(TIME_AT));
    if (Math.abs(age) > WINDOW) {
      const seconds = Math.ceil(Math.abs(age) / 1_000);
      if (age < 0) throw untrusted(`it was signed ${seconds} s ahead of this clock: check the clocks`);
      throw untrusted(`it was signed ${seconds} s ago: check the clocks, or it was replayed`);
    }
    if (!this.#taken.add(mac.toString('latin1'))) throw untrusted('it was heard before: it was replayed');
  }
}

/** Over a payload whose time and message are in their places. */
function macOf(key: KeyObject, channel: Sealed, payload: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(`${channel}\0`)
    .update(payload.subarray(TIME_AT, MAC_AT))
    .update(payload.subarray(MESSAGE_AT))
    .digest();
}

function isRoom(channel: Sealed): boolean {
  return channel.startsWith('room:');
}

function untrusted(why: string): BroadcastError {
  return new BroadcastError('UNTRUSTED', why);
}
