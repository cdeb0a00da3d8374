/*
 * Speaking into rooms, from any process on the bus: one with sockets, a worker, a cron job. What is said reaches every
 * socket in the room on every instance, with meta, by one and the same way, so that all of them hear it in one order.
 */
import {
  Audience,
  checkAddress,
  checkArgs,
  checkEvent,
  nameOfNamespace,
  type Address,
  type RoomNames,
} from '../audience.js';
import type { Bus } from '../bus.js';
import { checkBus } from '../checks.js';
import { encode, stamp, type Header } from '../envelope.js';
import { BroadcastError } from '../errors.js';
import type { Mark, Position } from '../position.js';
import { publishAttributes, publishToRooms } from '../routing.js';
import type { Subscription } from '../subscriptions.js';
import { publishToEach, type EachPublished } from './each.js';
import { toMessages, type StoredMessage } from './stored-message.js';

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
  /** Names the state that it tells: what a slow client gets the last of, in rooms whose profile says `latest`. @default the event */
  key?: string;
  /** Socket.IO namespace. @default '/' */
  namespace?: string;
}

/** One message to each of many rooms. */
export interface EachMessage extends Omit<RoomMessage, 'room'> {
  rooms: readonly string[];
}

export interface Published {
  /** The message's id. */
  id: string;
  /** Its place in the log of a room with history. */
  pos?: Position;
}

/** Where to read, in a room with history. */
export interface HistoryRequest {
  room: string;
  /** What comes after this position, oldest first. */
  after?: Position;
  /** The last ones before this position. @default the end */
  before?: Position;
  /** @default 50, at most 1000 */
  limit?: number;
  /** Socket.IO namespace. @default '/' */
  namespace?: string;
}

export interface RoomHistory {
  /** Oldest first. */
  messages: StoredMessage[];
  /** Whether nothing is left out: neither beyond the limit, nor because it is not kept any more. */
  complete: boolean;
}

/** What somebody who comes back to a room has missed. */
export interface Replay {
  /** `false`: it cannot be promised that these are all; then there are none. */
  recovered: boolean;
  /** Oldest first. */
  missed: StoredMessage[];
  /** The place from which the room's messages are heard. */
  mark?: Mark;
}

export interface ReplayRequest {
  room: string;
  /** The last message that was seen: its position and its id. @default none: only the place of now is wanted */
  since?: Mark;
  namespace?: string;
  /** Messages for which it gives `false` are left out. */
  visible?: (header: Header) => boolean;
}

const MAX_HISTORY = 1_000;

export interface RoomsOptions {
  /** Largest message, as it travels (header included, about 150 bytes), in bytes. @default Infinity */
  maxMessageBytes?: number;
}

type SaidBy = Pick<Header, 'id' | 'from' | 'key'>;

export class Rooms {
  readonly #bus: Bus;
  readonly #maxBytes: number;

  constructor(bus: Bus, { maxMessageBytes = Infinity }: RoomsOptions = {}) {
    checkBus(bus, 'Rooms', 'new Rooms(new Bus(redis({ url })))');
    this.#bus = bus;
    this.#maxBytes = maxMessageBytes;
  }

  /** Names the room, or rooms, to speak into: `rooms.to('123').emit('chat', { text: 'hi' })`. */
  to(room: RoomNames): RoomSpeaker {
    return this.#anyone().to(room);
  }

  /** The same as `to()`. */
  in(room: RoomNames): RoomSpeaker {
    return this.to(room);
  }

  /** Speaks to everyone but the sockets in this room. */
  except(room: RoomNames): RoomSpeaker {
    return this.#anyone().except(room);
  }

  /** Speaks in this Socket.IO namespace: to everyone in it, unless rooms are named. */
  of(namespace: string): RoomSpeaker {
    return this.#anyone().of(namespace);
  }

  /**
   * Says one thing in one room. Resolves when the broker has accepted it.
   *
   * @throws BroadcastError `BAD_REQUEST`, `TOO_LARGE`, `UNAVAILABLE`, `UNCERTAIN`, `OVERLOADED`, `CLOSED`
   */
  async publish({ room, event, data, id, from, key, namespace }: RoomMessage): Promise<Published> {
    return say(this.#bus, { rooms: [room], nsp: nameOfNamespace(namespace) }, event, data, {
      ...(id !== undefined && { id }),
      from,
      ...(key !== undefined && { key }),
      maxBytes: this.#maxBytes,
    });
  }

  /**
   * Says one thing in each of many rooms: a socket in two of them hears it in both. Resolves when every room has an
   * outcome, in their order; a room that is named twice has one.
   *
   * @throws BroadcastError through the promise: `BAD_REQUEST`, `TOO_LARGE`. What befalls a single room is its outcome
   */
  async publishToEach(message: EachMessage): Promise<{ id: string; outcomes: EachPublished[] }> {
    const { rooms, event, data = null, from, namespace } = message;
    checkAddress({ rooms });
    const { id, at, origin } = stamp(this.#bus.instance);
    const header = { id: message.id ?? id, from, at, origin, nsp: nameOfNamespace(namespace) };
    const args = [checkEvent(event), ...checkArgs([data])];
    const each = [...new Set(rooms)];
    const attributes = () => publishAttributes(each, header.id);
    const outcomes = await this.#bus.tracing.produce('publish', attributes, async (traceparent) => {
      const payload = encode(traceparent === undefined ? header : { ...header, traceparent }, args);
      if (payload.length > this.#maxBytes) {
        const why = `the message has ${payload.length} bytes, the limit is ${this.#maxBytes}`;
        throw new BroadcastError('TOO_LARGE', why);
      }
      return publishToEach(this.#bus, each, payload, header.id);
    });
    return { id: header.id, outcomes };
  }

  /** Whether what is said in the room is kept. */
  keeps(room: string): boolean {
    return this.#bus.logs.historyOf(room) !== undefined;
  }

  /**
   * Reads what was said in a room with history: its end, what came before a position, or after one.
   *
   * @throws BroadcastError through the promise: `BAD_REQUEST` (a live room, both positions), `UNAVAILABLE`, `TIMEOUT`
   */
  async history({ room, after, before, limit = 50, namespace }: HistoryRequest): Promise<RoomHistory> {
    if (after !== undefined && before !== undefined) {
      throw new BroadcastError('BAD_REQUEST', 'expected "after" or "before", not both');
    }
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_HISTORY) {
      throw new BroadcastError('BAD_REQUEST', `expected a limit from 1 to ${MAX_HISTORY}`);
    }
    const { entries, complete } = await this.#bus.logs.read(room, { from: after, before, limit });
    return { messages: toMessages(entries, room, nameOfNamespace(namespace)), complete };
  }

  /** Hears a room with history from now on, so that `replay()` can be asked. `ready()` resolves when it does. */
  follow(room: string): Subscription {
    return this.#bus.logs.follow(room, () => undefined);
  }

  /**
   * Finds what was said in a followed room since a mark, and calls `enter` with it in the turn in which that is complete:
   * a socket that joins the room in that call misses nothing and hears nothing twice.
   *
   * @throws BroadcastError through the promise: the log cannot be read now
   */
  async replay<T>({ room, since, namespace, visible }: ReplayRequest, enter: (replay: Replay) => T): Promise<T> {
    const { logs, counts } = this.#bus;
    if (!since) return enter({ recovered: false, missed: [], mark: logs.markOf(room) });
    return logs.replay(room, since, ({ recovered, entries }) => {
      counts[recovered ? 'recovered' : 'notRecovered']++;
      const missed = toMessages(entries, room, nameOfNamespace(namespace), visible);
      return enter({ recovered, missed, mark: logs.markOf(room) });
    });
  }

  #anyone(): RoomSpeaker {
    return new RoomSpeaker(this.#bus, {}, { maxBytes: this.#maxBytes });
  }
}

interface Saying extends SaidBy {
  maxBytes: number;
}

export class RoomSpeaker extends Audience {
  readonly #saying: Saying;

  constructor(bus: Bus, address: Address, saying: Saying) {
    super(bus, address);
    this.#saying = saying;
  }

  /** In somebody's name. */
  from(user: string): RoomSpeaker {
    return new RoomSpeaker(this.bus, this.address, { ...this.#saying, from: user });
  }

  /**
   * Says it. The promise may be left alone: a failure that nobody awaits becomes the bus's `error` event, never an
   * unhandled rejection.
   *
   * @throws BroadcastError as {@link Rooms.publish}, all of them through the promise
   */
  emit(event: string, data?: unknown): Promise<Published> {
    return this.told(() => say(this.bus, this.address, event, data, this.#saying));
  }

  protected override with(address: Partial<Address>): this {
    return new RoomSpeaker(this.bus, { ...this.address, ...address }, this.#saying) as this;
  }
}

async function say(
  bus: Bus,
  given: Address,
  event: string,
  data: unknown,
  { maxBytes, ...saidBy }: Saying,
): Promise<Published> {
  const { rooms = [], ...address } = checkAddress(given);
  const { id, at, origin } = stamp(bus.instance);
  const header = { id, ...saidBy, at, origin, ...address };
  const args = [checkEvent(event), ...checkArgs([data === undefined ? null : data])];
  const positions = await publishToRooms(bus, [...new Set(rooms)], header, args, { maxBytes });
  return { id: header.id, ...(rooms.length === 1 && positions[0] !== undefined && { pos: positions[0] }) };
}
