/*
 * Whom something is for, built by chaining as Socket.IO does it, and what can be done with them from any process on the
 * bus, with sockets of its own or without.
 */
import type { Bus } from './bus.js';
import { isReservedEvent, isReservedServerEvent, type Flags } from './envelope.js';
import { BroadcastError } from './errors.js';

export interface Address {
  /** Names of rooms; left out: everyone in the namespace. */
  readonly rooms?: readonly string[];
  readonly except?: readonly string[];
  /** Socket.IO namespace, left out when it is `/`. */
  readonly nsp?: string;
  readonly flags?: Flags;
}

export type RoomNames = string | number | readonly (string | number)[];

/**
 * Never changes: every step gives a new one. What is done with it gives a promise that may be left alone: a failure
 * that nobody awaits becomes the bus's `error` event, never an unhandled rejection.
 */
export abstract class Audience {
  protected readonly bus: Bus;
  protected readonly address: Address;

  protected constructor(bus: Bus, address: Address) {
    this.bus = bus;
    this.address = address;
  }

  /** One more room, or several. A socket in more than one of them gets one copy. */
  to(room: RoomNames): this {
    return this.with({ rooms: [...(this.address.rooms ?? []), ...namesOf(room)] });
  }

  /** The same as `to()`. */
  in(room: RoomNames): this {
    return this.to(room);
  }

  /** Not the sockets in this room. */
  except(room: RoomNames): this {
    return this.with({ except: [...(this.address.except ?? []), ...namesOf(room)] });
  }

  /** In this Socket.IO namespace, not in `/`. */
  of(namespace: string): this {
    return this.with({ nsp: nameOfNamespace(namespace) });
  }

  /** Sockets that cannot take it at once may miss it. */
  get volatile(): this {
    return this.with({ flags: { ...this.address.flags, volatile: true } });
  }

  /** Whether it is compressed for each socket. */
  compress(compress: boolean): this {
    return this.with({ flags: { ...this.address.flags, compress } });
  }

  /** Makes these sockets join rooms. Resolves when the broker has accepted it: they join when it arrives. */
  socketsJoin(room: RoomNames): Promise<void> {
    return this.#command('sockets.join', () => [checkAddress({ rooms: namesOf(room) }).rooms]);
  }

  /** Makes these sockets leave rooms. Resolves as `socketsJoin()`. */
  socketsLeave(room: RoomNames): Promise<void> {
    return this.#command('sockets.leave', () => [checkAddress({ rooms: namesOf(room) }).rooms]);
  }

  /** Disconnects these sockets; with `close` the whole connection, not only this namespace. */
  disconnectSockets(close = false): Promise<void> {
    return this.#command('sockets.disconnect', () => [close]);
  }

  /** Runs the listeners of every Socket.IO server in the namespace: `io.on(event, …)`. */
  serverSideEmit(event: string, ...args: unknown[]): Promise<void> {
    return this.told(async () => {
      const said = [checkEvent(event, isReservedServerEvent), ...checkArgs(args)];
      const { nsp } = checkAddress({ nsp: this.address.nsp });
      await this.bus.control.send('all', { kind: 'servers.event', nsp }, said);
    });
  }

  protected abstract with(address: Partial<Address>): this;

  /** Does it for a caller that may leave the promise alone. */
  protected told<T>(action: () => Promise<T>): Promise<T> {
    const doing = action();
    doing.catch((error: unknown) => {
      this.bus.counts.dropped++;
      if (error instanceof BroadcastError && error.code !== 'CLOSED') this.bus.report(error);
    });
    return doing;
  }

  #command(kind: string, args: () => unknown[]): Promise<void> {
    return this.told(async () => this.bus.control.send('all', { kind, ...checkAddress(this.address) }, args()));
  }
}

/** The namespace as it stands in a header: with its slash, and `/` is left out. What is no name stays as it is. */
export function nameOfNamespace(namespace: string | undefined): string | undefined {
  if (namespace === '/' || namespace === '') return undefined;
  return typeof namespace !== 'string' || namespace.startsWith('/') ? namespace : `/${namespace}`;
}

/** @throws BroadcastError `BAD_REQUEST` */
export function checkEvent(event: unknown, isReserved = isReservedEvent): string {
  if (typeof event === 'string' && event !== '' && !isReserved(event)) return event;
  throw refused(`the event name ${JSON.stringify(event)} cannot be sent: choose one Socket.IO does not reserve`);
}

/** @throws BroadcastError `BAD_REQUEST` for a callback: it would never be called */
export function checkArgs(args: readonly unknown[]): readonly unknown[] {
  if (typeof args.at(-1) !== 'function') return args;
  throw refused('there is no acknowledgement of what is said from outside a server: leave the callback out');
}

/**
 * Looked at when something is done, so that a wrong name is told through the promise like everything else.
 *
 * @throws BroadcastError `BAD_REQUEST`; for an empty list too: it would mean everyone, which nobody says by it
 */
export function checkAddress(address: Address): Address {
  for (const names of [address.rooms, address.except]) {
    if (names && (names.length === 0 || names.some((name) => !isName(name)))) {
      throw refused('expected at least one room, each a string that is not empty');
    }
  }
  if (address.nsp !== undefined && typeof address.nsp !== 'string') {
    throw refused('expected the name of a namespace, a string');
  }
  return address;
}

function namesOf(room: RoomNames): string[] {
  return [room].flat().map((name) => (typeof name === 'number' ? String(name) : name));
}

function isName(name: unknown): boolean {
  return typeof name === 'string' && name !== '';
}

function refused(why: string): BroadcastError {
  return new BroadcastError('BAD_REQUEST', why);
}
