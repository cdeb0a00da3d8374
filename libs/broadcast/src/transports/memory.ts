/*
 * The embedded transport: every bus that is built on the same `memory()` object, in this process, hears the others.
 * No broker, no network, and nothing outlives the process.
 */
import { setImmediate } from 'node:timers';
import { BroadcastError } from '../errors.js';
import type { Channel, Link, LinkEvents, Transport } from '../transport.js';
import { MemoryJobs, type MemoryQueues } from './memory.jobs.js';

/** One transport object is one broker: share it between the buses that are to hear each other. */
export function memory(): Transport {
  const links = new Set<MemoryLink>();
  const queues: MemoryQueues = new Map();
  return {
    name: 'memory',
    features: { network: false, redelivers: false },
    open: (events) => {
      const link = new MemoryLink(links, events, queues);
      links.add(link);
      return Promise.resolve(link);
    },
  };
}

class MemoryLink implements Link {
  readonly #links: Set<MemoryLink>;
  readonly #events: LinkEvents;
  readonly #channels = new Set<Channel>();

  readonly jobs: MemoryJobs;

  constructor(links: Set<MemoryLink>, events: LinkEvents, queues: MemoryQueues) {
    this.jobs = new MemoryJobs(queues);
    this.#links = links;
    this.#events = events;
  }

  /** Delivers in a later turn, as a network would: a publisher is never called back from inside its own call. */
  publish(channel: Channel, payload: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        let heard = 0;
        for (const link of this.#links) heard += link.#receive(channel, payload);
        if (heard === 0 && channel.startsWith('instance:')) {
          reject(new BroadcastError('NO_LISTENER', `nobody listens to ${channel}`));
        } else {
          resolve();
        }
      });
    });
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

  #receive(channel: Channel, payload: Buffer): number {
    if (!this.#channels.has(channel)) return 0;
    try {
      this.#events.message(channel, payload);
    } catch {
      // Counted and told by whoever threw it; there is nobody to give the message back to.
    }
    return 1;
  }
}
