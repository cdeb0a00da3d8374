/*
 * The embedded transport: every bus that is built on the same `memory()` object, in this process, hears the others.
 * No broker, no network, and nothing outlives the process.
 */
import { setImmediate } from 'node:timers';
import { BroadcastError } from '../errors.js';
import type { Position } from '../position.js';
import type { Channel, Link, LinkEvents, RoomLog, Transport } from '../transport.js';
import { MemoryJobs, type MemoryQueues } from './memory.jobs.js';
import { MemoryLog } from './memory.log.js';
import { MemoryRecords } from './memory.records.js';

/** One transport object is one broker: share it between the buses that are to hear each other. */
export function memory(): Transport {
  const broker: MemoryBroker = {
    links: new Set(),
    histories: new MemoryLog(),
    queues: new Map(),
    records: new MemoryRecords(),
  };
  return {
    name: 'memory',
    features: { network: false, redelivers: false, log: 'room' },
    open: (events, { idWindow = 0 }) => {
      const link = new MemoryLink(broker, events, idWindow);
      broker.links.add(link);
      return Promise.resolve(link);
    },
  };
}

interface MemoryBroker {
  readonly links: Set<MemoryLink>;
  readonly histories: MemoryLog;
  readonly queues: MemoryQueues;
  readonly records: MemoryRecords;
}

class MemoryLink implements Link {
  readonly log: RoomLog;
  readonly #links: Set<MemoryLink>;
  readonly #events: LinkEvents;
  readonly #channels = new Set<Channel>();

  readonly jobs: MemoryJobs;
  readonly records: MemoryRecords;

  constructor({ links, histories, queues, records }: MemoryBroker, events: LinkEvents, idWindow: number) {
    this.jobs = new MemoryJobs(queues);
    this.records = records;
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
    this.jobs.close();
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
