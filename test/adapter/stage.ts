/*
 * What the cases of the adapter stand on: Socket.IO servers on buses of their own, with real clients, in this process.
 * Everything is closed after each case, and no rejection may be left unhandled.
 */
import {
  BroadcastAdapter,
  Bus,
  createAdapter,
  type AdapterOptions,
  type BroadcastError,
  type BusOptions,
  type Channel,
  type Transport,
} from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, type ServerOptions, type Socket as ServerSocket } from 'socket.io';
import { Manager, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { wire, type Wire } from './wire.js';

export interface Visitor {
  client: Socket;
  socket: ServerSocket;
  /** Events with their arguments, in order; questions (with an acknowledgement) are not among them. */
  heard: unknown[][];
}

/** A Socket.IO server on a bus, and what has become of both. */
export interface Instance {
  bus: Bus;
  server: Server;
  http: HttpServer;
  url: string;
  /** The one of the main namespace. */
  adapter: BroadcastAdapter;
  /** What the bus has told. */
  errors: BroadcastError[];
  /** What this instance has handed to the broker, in order. */
  published: Channel[];
}

export interface InstanceOptions {
  /** @default a shared one, straight to the broker */
  transport?: Transport;
  bus?: BusOptions;
  adapter?: AdapterOptions;
  server?: Partial<ServerOptions>;
}

/** `FAST_PATH=off`: every packet takes engine.io's ordinary way, and each case holds all the same. */
const fast = process.env['FAST_PATH'] !== 'off';

type Name = string | number;
type ClientOptions = Partial<ManagerOptions & SocketOptions>;

/** Outages are found in fractions of a second, so that a run has many. */
const QUICK: BusOptions = {
  callTimeout: 2_000,
  outboxAge: 500,
  linger: 100,
  probeInterval: 200,
  probeMisses: 4,
  backoff: { base: 20, max: 200 },
};

/** Instances that say nothing by themselves once they know each other: what is counted is what the case does. */
export const QUIET: InstanceOptions = {
  bus: { probeInterval: 600_000 },
  adapter: { heartbeatInterval: 600_000, heartbeatTimeout: 1_200_000 },
};

export class Stage {
  readonly #prepare: (prefix: string) => () => Transport;
  readonly #open: Instance[] = [];
  readonly #clients: { disconnect(): unknown }[] = [];
  readonly #ends: (() => unknown)[] = [];
  #transport!: () => Transport;
  #prefix = '';

  /** To be made inside `describe`: it watches over the cases there. */
  constructor(prepare: (prefix: string) => () => Transport) {
    this.#prepare = prepare;
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    beforeAll(() => process.on('unhandledRejection', onRejection));
    beforeEach(() => {
      this.#prefix = `s${randomBytes(4).toString('hex')}.`;
      this.#transport = this.#prepare(this.#prefix);
    });
    afterEach(async () => {
      for (const client of this.#clients.splice(0)) client.disconnect();
      const instances = this.#open.splice(0);
      await Promise.all(instances.map(({ server }) => server.close()));
      await Promise.all(instances.map(({ bus }) => bus.close()));
      for (const end of this.#ends.splice(0)) await end();
      expect(rejections.splice(0)).toEqual([]);
    });
    afterAll(() => process.off('unhandledRejection', onRejection));
  }

  /** In front of every name at the broker, different in every case. */
  get prefix(): string {
    return this.#prefix;
  }

  /** For a bus of the case's own, which can be heard by the instances. */
  transport(): Transport {
    return this.#transport();
  }

  /** To be done after the case, when everything else is closed. */
  after(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** A client that is only a TCP connection, closed after the case. */
  async wire(url: string): Promise<Wire> {
    const line = await wire(url);
    this.#clients.push({ disconnect: line.end });
    return line;
  }

  /** A bus without a server, closed after the case. */
  async bus(options: BusOptions = {}, transport = this.transport()): Promise<Bus> {
    const bus = new Bus(transport, { ...QUICK, ...options });
    bus.on('error', () => undefined);
    this.after(() => bus.close());
    await bus.connect(15_000);
    return bus;
  }

  async instance({ transport = this.transport(), bus: busOptions, adapter, server: options }: InstanceOptions = {}) {
    const published: Channel[] = [];
    const bus = new Bus(recording(transport, published), { ...QUICK, ...busOptions });
    const errors: BroadcastError[] = [];
    bus.on('error', (error) => errors.push(error));
    await bus.connect(15_000);
    const http = createServer();
    const server = new Server(http, { adapter: createAdapter(bus, { fast, ...adapter }) as never, ...options });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const main = server.of('/').adapter as BroadcastAdapter;
    const instance: Instance = { bus, server, http, url, adapter: main, errors, published };
    this.#open.push(instance);
    return instance;
  }

  /** Three instances that know each other. */
  async three(options: InstanceOptions = {}): Promise<[Instance, Instance, Instance]> {
    const instances = await Promise.all([1, 2, 3].map(() => this.instance(options)));
    await acquainted(instances);
    return instances as [Instance, Instance, Instance];
  }

  /** A client that is connected, and its socket. */
  visit(instance: Instance, namespace = '/', options: ClientOptions = {}): Promise<Visitor> {
    instance.server.of(namespace);
    return this.enter(instance, namespace, options);
  }

  /** The same in a namespace that the server has, or makes when somebody comes. */
  async enter({ url, server }: Instance, namespace: string, options: ClientOptions = {}): Promise<Visitor> {
    // Given apart from the address: a namespace may have any name, and an address not any path.
    const client = new Manager(url, { reconnection: false, ...options }).socket(namespace, options);
    this.#clients.push(client);
    const heard: unknown[][] = [];
    client.onAny((...args: unknown[]) => {
      if (typeof args.at(-1) !== 'function') heard.push(args);
    });
    await until('the client is connected', () => client.connected);
    return { client, socket: server.of(namespace).sockets.get(client.id!)!, heard };
  }

  /** One visitor each. */
  visits<T extends readonly Instance[]>(instances: T, namespace = '/', options: ClientOptions = {}) {
    const visits = instances.map((instance) => this.visit(instance, namespace, options));
    return Promise.all(visits) as Promise<{ -readonly [K in keyof T]: Visitor }>;
  }
}

/** Resolves when all of them know all of them. */
export async function acquainted(instances: readonly Instance[]): Promise<void> {
  await until('all know each other', async () => {
    const counts = await Promise.all(instances.map(({ adapter }) => adapter.serverCount()));
    return counts.every((count) => count === instances.length);
  });
}

/**
 * Emits a last message to everyone, from each instance, since only what one says keeps its order, and waits until all
 * visitors have it: whatever was to arrive before has arrived. The last messages are not among what they heard.
 */
export async function settle(instances: readonly Instance[], visitors: readonly Visitor[], namespace = '/') {
  const isLast = ([event]: unknown[]) => event === 'settled';
  for (const { server } of instances) server.of(namespace).emit('settled');
  await until('the last messages arrive', () =>
    visitors.every(({ heard }) => heard.filter(isLast).length === instances.length),
  );
  for (const { heard } of visitors) heard.splice(0, heard.length, ...heard.filter((each) => !isLast(each)));
}

/** Waits for a command to sockets, which Socket.IO's types do not know to be a promise. */
export async function done(command: unknown): Promise<void> {
  await command;
}

/** Resolves when all of them are in the rooms, and their instances hear them. */
export async function join(visitors: readonly Visitor[], rooms: Name | Name[]): Promise<void> {
  await Promise.all(visitors.map(async ({ socket }) => socket.join(rooms as string[])));
}

/** Names of the events that each has heard, sorted; and forgets them. */
export function eventsOf(visitors: readonly Visitor[]): string[][] {
  return visitors.map(({ heard }) =>
    heard
      .splice(0)
      .map(([event]) => String(event))
      .sort(),
  );
}

/**
 * Who has heard each event, by letter: with `{ chat: 'aab' }` the first has heard it twice, the second once, and the
 * others not at all. Forgets what they heard.
 */
export function audience(visitors: readonly Visitor[]): Record<string, string> {
  const letters: Record<string, string> = {};
  eventsOf(visitors).forEach((events, index) => {
    for (const event of events) letters[event] = (letters[event] ?? '') + String.fromCharCode(97 + index);
  });
  return letters;
}

/** Its connection takes nothing, until the function is called that this returns. */
export function stall({ conn: { transport } }: ServerSocket): () => void {
  const property = { configurable: true, enumerable: true };
  Object.defineProperty(transport, 'writable', { ...property, get: () => false, set: () => undefined });
  return () => Object.defineProperty(transport, 'writable', { ...property, writable: true, value: true });
}

/** The same transport, whose links wait for something before they are told to hear, or no longer to hear, channels. */
export function preceded(
  transport: Transport,
  before: (call: 'subscribe' | 'unsubscribe', channels: readonly Channel[]) => unknown,
): Transport {
  return {
    ...transport,
    open: async (events, options) => {
      const link = await transport.open(events, options);
      const after = (call: 'subscribe' | 'unsubscribe') => async (channels: readonly Channel[]) => {
        await before(call, channels);
        await link[call](channels);
      };
      const publish: typeof link.publish = (channel, payload) => link.publish(channel, payload);
      const [subscribe, unsubscribe] = [after('subscribe'), after('unsubscribe')];
      const { log, jobs, records } = link;
      return { publish, subscribe, unsubscribe, log, jobs, records, close: () => link.close() };
    },
  };
}

/** One that brings subscriptions to the broker late: what does not wait for them is too early. */
export function slow(transport: Transport): Transport {
  return preceded(transport, () => new Promise((resolve) => setTimeout(resolve, 20)));
}

function recording(transport: Transport, published: Channel[]): Transport {
  return {
    ...transport,
    open: async (events, options) => {
      const link = await transport.open(events, options);
      return new Proxy(link, {
        get: (target, name) => {
          const own: unknown = Reflect.get(target, name);
          if (name !== 'publish') return typeof own === 'function' ? (own.bind(target) as unknown) : own;
          return (channel: Channel, payload: Buffer) => {
            published.push(channel);
            return target.publish(channel, payload);
          };
        },
      });
    },
  };
}
