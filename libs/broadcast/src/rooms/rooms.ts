/*
 * Speaking into rooms, from any process on the bus: one with sockets, a worker, a cron job. What is said reaches every
 * socket in the room on every instance, with meta, by one and the same way, so that all of them hear it in one order.
 */
import type { Bus } from '../bus.js';
import { isReservedEvent, stamp, type Header } from '../envelope.js';
import { BroadcastError } from '../errors.js';
import { publishToRooms } from '../routing.js';

/** One message to one room. */
export interface RoomMessage {
  room: string;
  event: string;
  /** Anything that JSON can carry; `Buffer`s and typed arrays too, at any depth. @default null */
  data?: unknown;
  /** The same id again, in the same room, is the same message. @default a new ULID */
  id?: string;
  /** Who says it. */
  from?: string;
  /** Socket.IO namespace. @default '/' */
  namespace?: string;
}

export interface Published {
  /** The message's id. */
  id: string;
}

export interface RoomsOptions {
  /** Largest message, as it travels (header included, about 150 bytes), in bytes. @default Infinity */
  maxMessageBytes?: number;
}

/** How a speaker says things: one message to some rooms. */
type Say = (rooms: readonly string[], event: string, data: unknown, header: SaidBy) => Promise<Published>;
type SaidBy = Pick<Header, 'id' | 'nsp' | 'from' | 'except'>;

export class Rooms {
  readonly #bus: Bus;
  readonly #maxBytes: number;

  constructor(bus: Bus, { maxMessageBytes = Infinity }: RoomsOptions = {}) {
    this.#bus = bus;
    this.#maxBytes = maxMessageBytes;
  }

  /** Names the room, or rooms, to speak into: `rooms.to('123').emit('chat', { text: 'hi' })`. */
  to(room: string | readonly string[]): RoomSpeaker {
    return new RoomSpeaker((...what) => this.#sayAndTell(...what), [room].flat());
  }

  /**
   * Says one thing in one room. Resolves when the broker has accepted it.
   *
   * @throws BroadcastError `BAD_REQUEST`, `TOO_LARGE`, `UNAVAILABLE`, `UNCERTAIN`, `OVERLOADED`, `CLOSED`
   */
  publish({ room, event, data, id, from, namespace }: RoomMessage): Promise<Published> {
    return this.#say([room], event, data, { ...(id !== undefined && { id }), from, nsp: outside(namespace) });
  }

  async #say(rooms: readonly string[], event: string, data: unknown, saidBy: SaidBy): Promise<Published> {
    check(rooms, event);
    const { id, at, origin } = stamp(this.#bus.instance);
    const header = { id, ...saidBy, at, origin };
    const args = [event, data === undefined ? null : data];
    await publishToRooms(this.#bus, [...new Set(rooms)], header, args, { maxBytes: this.#maxBytes });
    return { id: header.id };
  }

  /** For callers that may leave the promise alone. */
  #sayAndTell(...what: Parameters<Say>): Promise<Published> {
    const saying = this.#say(...what);
    saying.catch((error: unknown) => {
      this.#bus.counts.dropped++;
      if (error instanceof BroadcastError && error.code !== 'CLOSED') this.#bus.report(error);
    });
    return saying;
  }
}

export class RoomSpeaker {
  readonly #say: Say;
  readonly #rooms: readonly string[];
  readonly #saidBy: SaidBy;

  constructor(say: Say, rooms: readonly string[], saidBy: SaidBy = {}) {
    this.#say = say;
    this.#rooms = rooms;
    this.#saidBy = saidBy;
  }

  /** One more room. A socket in several of them gets one copy. */
  to(room: string | readonly string[]): RoomSpeaker {
    return new RoomSpeaker(this.#say, [...this.#rooms, ...[room].flat()], this.#saidBy);
  }

  /** Not to the sockets in this room. */
  except(room: string | readonly string[]): RoomSpeaker {
    return this.#with({ except: [...(this.#saidBy.except ?? []), ...[room].flat()] });
  }

  /** In this Socket.IO namespace, not in `/`. */
  of(namespace: string): RoomSpeaker {
    return this.#with({ nsp: outside(namespace) });
  }

  /** In somebody's name. */
  from(user: string): RoomSpeaker {
    return this.#with({ from: user });
  }

  /**
   * Says it. The promise may be left alone: a failure that nobody awaits becomes the bus's `error` event, never an
   * unhandled rejection.
   *
   * @throws BroadcastError as {@link Rooms.publish}, all of them through the promise
   */
  emit(event: string, data?: unknown): Promise<Published> {
    return this.#say(this.#rooms, event, data, this.#saidBy);
  }

  #with(saidBy: SaidBy): RoomSpeaker {
    return new RoomSpeaker(this.#say, this.#rooms, { ...this.#saidBy, ...saidBy });
  }
}

function check(rooms: readonly string[], event: string): void {
  if (rooms.length === 0 || rooms.some((room) => typeof room !== 'string' || room === '')) {
    throw new BroadcastError('BAD_REQUEST', 'a message needs at least one room, a string that is not empty');
  }
  if (typeof event !== 'string' || event === '' || isReservedEvent(event)) {
    const got = JSON.stringify(event);
    throw new BroadcastError(
      'BAD_REQUEST',
      `the event name ${got} cannot be sent: choose one Socket.IO does not reserve`,
    );
  }
}

/** The namespace as it stands in a header: `/` is left out. */
function outside(namespace: string | undefined): string | undefined {
  return namespace === '/' ? undefined : namespace;
}
