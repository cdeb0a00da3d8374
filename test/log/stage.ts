/*
 * Writers and readers of one room with history, over real brokers, and the books of what was acknowledged and what came.
 */
import { Bus, type BusOptions, type Transport } from '@app/broadcast';
import { until } from '@app/broadcast/testing';

/** Outages are found in fractions of a second. The probe is told where a case is about it. */
const QUICK: BusOptions = {
  history: { size: 5_000, ttl: 600_000 },
  callTimeout: 3_000,
  outboxAge: 1_000,
  probeInterval: 300,
  probeMisses: 4,
  backoff: { base: 20, max: 200 },
};

const open = new Set<Bus>();

/** For `afterEach`. */
export async function closeBuses(): Promise<void> {
  await Promise.all([...open].map((bus) => bus.close()));
  open.clear();
}

export async function busOn(transport: Transport, options: BusOptions = {}): Promise<Bus> {
  const bus = new Bus(transport, { ...QUICK, ...options });
  bus.on('error', () => undefined);
  open.add(bus);
  await bus.connect(20_000);
  return bus;
}

/** What one instance hears of a room. */
export class Reader {
  readonly ids: string[] = [];
  readonly positions: string[] = [];
  /** Why it cannot be promised that this is all. */
  readonly gaps: string[] = [];
  readonly #room: string;
  readonly #bus: Bus;

  private constructor(bus: Bus, room: string) {
    this.#bus = bus;
    this.#room = room;
  }

  static async of(bus: Bus, room: string): Promise<Reader> {
    const reader = new Reader(bus, room);
    bus.on('gap', (cause, about) => {
      if (about === room) reader.gaps.push(cause.message);
    });
    const following = bus.logs.follow(room, (payload, pos) => {
      reader.ids.push((JSON.parse(payload.toString()) as { id: string }).id);
      reader.positions.push(pos!);
    });
    await following.ready();
    return reader;
  }

  /** Whether somebody who comes back is promised everything since. */
  async recovers(since: { pos: string; id?: string }): Promise<boolean> {
    return this.#bus.logs.replay(this.#room, since, ({ recovered }) => recovered);
  }

  /** Waits until it has heard all of these, and nothing else; each once, in this order. */
  async expects(ids: readonly string[]): Promise<void> {
    await until(`all ${ids.length} have come`, () => this.ids.length >= ids.length, 20_000);
    expect(this.ids).toEqual(ids);
    expect(new Set(this.positions).size).toBe(this.positions.length);
  }
}

export function append(bus: Bus, room: string, id: string): Promise<string | undefined> {
  return bus.logs.append(room, payloadOf(id), id);
}

export function payloadOf(id: string, size = 0): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, id, args: ['chat', 'x'.repeat(size)] }));
}

/** Says something every few ms until it is stopped, each under its id until it is acknowledged, one after the other. */
export function load(bus: Bus, room: string, ms = 3) {
  const ids: string[] = [];
  let stopped = false;
  const saying = (async () => {
    while (!stopped) {
      const id = `m${ids.length + 1}`;
      ids.push(id);
      await insist(bus, room, id);
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  })();
  saying.catch(() => undefined); // a case that has failed already does not stop it
  return {
    ids,
    stop: async () => {
      stopped = true;
      await saying;
      return ids;
    },
  };
}

/** The same id again until it is acknowledged. */
export async function insist(bus: Bus, room: string, id: string): Promise<string | undefined> {
  for (const end = Date.now() + 20_000; ;) {
    try {
      return await append(bus, room, id);
    } catch (error) {
      if (Date.now() > end || bus.state === 'closed') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
