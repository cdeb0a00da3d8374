/*
 * What the cases of the suite stand on: a prefix of their own, buses that are closed after them, and the two watches that
 * go with every case: nothing is left at the broker, no rejection is left unhandled.
 */
import { randomBytes } from 'node:crypto';
import { Bus } from '../bus.js';
import type { BusOptions } from '../bus-options.js';
import { BroadcastError } from '../errors.js';
import type { Channel, Transport } from '../transport.js';
import { collect, until, type Heard } from './conditions.js';

/** Something between the instances and the broker that can be told to misbehave. */
export interface ConformanceGate {
  pass(): void;
  /** Resets all connections; new ones pass. */
  cut(): void;
  /** Resets all connections and refuses new ones. */
  refuse(): void;
  /** Connections stay open, nothing arrives. */
  blackhole(): void;
  /** Everything takes `ms` longer, in each direction. */
  slow(ms: number): void;
  /** Connections held open at the moment. */
  readonly connections: number;
}

/** A broker that may be killed. */
export interface ConformanceBroker {
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface ConformanceSetup {
  /** A transport straight to the broker. The prefix goes in front of every name. */
  transport(prefix: string): Transport;
  /** One whose way to the broker leads through a gate. Needed where `features.network`. */
  gated?(prefix: string): Promise<{ transport: Transport; gate: ConformanceGate }>;
  /** One to a broker of its own, whose histories survive its death. Needed where `features.network`. */
  mortal?(prefix: string): Promise<{ transport: Transport; broker: ConformanceBroker }>;
  /** Deletes every history under a prefix, as an operator might. Needed where `features.network`. */
  forget?(prefix: string): Promise<void>;
  /** What is left at the broker under a prefix, when everything has been closed. */
  leftovers?(prefix: string): Promise<string[]>;
  /** Messages that were given up and kept. Needed where `features.redelivers`. */
  deadLetters?(prefix: string): Promise<string[]>;
}

/** Outages are found and mended in fractions of a second, so that a run has many. */
export const QUICK: BusOptions = {
  callTimeout: 3_000,
  outboxAge: 1_000,
  linger: 50,
  probeInterval: 150,
  probeMisses: 4,
  backoff: { base: 20, max: 200 },
};

export class Stage {
  readonly set: ConformanceSetup;
  readonly #open: Bus[] = [];
  #prefix = '';
  #transport!: Transport;

  /** To be made inside `describe`: it watches over the cases there. */
  constructor(set: ConformanceSetup) {
    this.set = set;
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    beforeAll(() => process.on('unhandledRejection', onRejection));
    beforeEach(() => {
      this.#prefix = `t${randomBytes(4).toString('hex')}.`;
      this.#transport = set.transport(this.#prefix);
    });
    afterEach(async () => {
      await Promise.all(this.#open.splice(0).map((bus) => bus.close()));
      await set.forget?.(this.#prefix);
      expect(rejections.splice(0)).toEqual([]);
      const left = async () => (await set.leftovers?.(this.#prefix)) ?? [];
      await until('nothing is left at the broker', async () => (await left()).length === 0);
    });
    afterAll(() => process.off('unhandledRejection', onRejection));
  }

  /** In front of every name at the broker, different in every case. */
  get prefix(): string {
    return this.#prefix;
  }

  get transport(): Transport {
    return this.#transport;
  }

  /** A bus that is closed after the case, and up unless told otherwise. */
  async bus({
    on = this.transport,
    connect = true,
    ...options
  }: BusOptions & { on?: Transport; connect?: boolean } = {}) {
    const bus = new Bus(on, { ...QUICK, ...options });
    bus.on('error', () => undefined);
    this.#open.push(bus);
    if (connect) await bus.connect(15_000);
    return bus;
  }
}

/** Subscribes, and resolves when it is acknowledged. */
export async function listen(on: Bus, channel: Channel): Promise<Heard> {
  const heard = collect(on, channel);
  await heard.ready(15_000);
  return heard;
}

export function say(on: Bus, channel: Channel, text: string): Promise<void> {
  return on.publish(channel, Buffer.from(text));
}

export function codeOf(error: unknown): string {
  return error instanceof BroadcastError ? error.code : String(error);
}

export function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'resolved', codeOf);
}
