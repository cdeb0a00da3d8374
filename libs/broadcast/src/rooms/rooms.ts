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
import { stamp, type Header } from '../envelope.js';
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

type SaidBy = Pick<Header, 'id' | 'from'>;

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
  async publish({ room, event, data, id, from, namespace }: RoomMessage): Promise<Published> {
    return say(this.#bus, { rooms: [room], nsp: nameOfNamespace(namespace) }, event, data, {
      ...(id !== undefined && { id }),
      from,
      maxBytes: this.#maxBytes,
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
  await publishToRooms(bus, [...new Set(rooms)], header, args, { maxBytes });
  return { id: header.id };
}
