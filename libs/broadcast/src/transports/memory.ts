/*
 * The embedded transport: every bus that is built on the same `memory()` object, in this process, hears the others.
 * No broker, no network, and nothing outlives the process.
 */
import { setImmediate } from 'node:timers';
import { BroadcastError } from '../errors.js';
import type { Position } from '../position.js';
import type { Channel, Link, LinkEvents, RoomLog, Transport } from '../transport.js';
import { MemoryLog } from './memory.log.js';

/** One transport object is one broker: share it between the buses that are to hear each other. */
export function memory(): Transport {
  const links = new Set<MemoryLink>();
  const histories = new MemoryLog();
  return {
    name: 'memory',
    features: { network: false, redelivers: false, log: 'room' },
    open: (events, { idWindow = 0 }) => {
      const link = new MemoryLink(links, histories, events, idWindow);
      links.add(link);
      return Promise.resolve(link);
    },
  };
}

class MemoryLink implements Link {
  readonly log: RoomLog;
  readonly #links: Set<MemoryLink>;
  readonly #events: LinkEvents;
  readonly #channels = new Set<Channel>();

  constructor(links: Set<MemoryLink>, histories: MemoryLog, events: LinkEvents, idWindow: number) {
    this.#links = links;
    this.#events = events;
    this.log = {
      append: (room, payload, options) =>
        later(() => {
          const { pos, isNew } = histories.append(room, payload, options, idWindow);
          if (isNew) for (const channel of [`log:${room}`, `room:${room}`] as const) this.#send(channel, payload, pos);
          return pos;
        }),
      read: (room, options) => later(() => histories.read(room, options)),
      tops: (rooms) => later(() => rooms.map((room) => histories.top(room))),
    };
  }

  async publish(channel: Channel, payload: Buffer): Promise<void> {
    const heard = await later(() => {
      const inRoom = this.#send(channel, payload);
      return isRoom(channel) ? inRoom + this.#send(`log:${channel.slice('room:'.length)}`, payload) : inRoom;
    });
    if (heard === 0 && channel.startsWith('instance:')) {
      throw new BroadcastError('NO_LISTENER', `nobody listens to ${channel}`);
    }
  }

  subscribe(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) this.#channels.add(channel);
    return Promise.resolve();
  }

  unsubscribe(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) this.#channels.delete(channel);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#channels.clear();
    this.#links.delete(this);
    return Promise.resolve();
  }

  #send(channel: Channel, payload: Buffer, pos?: Position): number {
    let heard = 0;
    for (const link of this.#links) heard += link.#receive(channel, payload, pos);
    return heard;
  }

  #receive(channel: Channel, payload: Buffer, pos?: Position): number {
    if (!this.#channels.has(channel)) return 0;
    try {
      this.#events.message(channel, payload, pos);
    } catch {
      // Counted and told by whoever threw it; there is nobody to give the message back to.
    }
    return 1;
  }
}

function isRoom(channel: Channel): channel is `room:${string}` {
  return channel.startsWith('room:');
}

/** In a later turn, as over a network: a publisher is never called back from inside its own call. */
function later<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => setImmediate(() => resolve(work())));
}
