/*
 * The Nest client: `emit()` tells every instance, `send()` asks one of those that can answer.
 */
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Bus } from '../bus.js';
import { BroadcastError } from '../errors.js';
import { requestsOf, type Requests } from './requests.js';
import { EVENT } from './wire.js';

export interface BroadcastClientOptions {
  /** How long `send()` waits for each part of an answer, in ms, from when it was sent. Then `TIMEOUT`. @default 5_000 */
  timeout?: number;
  /** How long it waits for somebody who can answer, in ms, from when it has asked. Then `NO_LISTENER`. @default 1_000 */
  discovery?: number;
  /** Requests of this client that may wait for an answer at once. Further ones: `OVERLOADED`. @default 100_000 */
  maxRequests?: number;
}

/** What a handler on another instance answered instead of a result. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  /** As the handler gave it: `new RpcException({ code, message, details })`. */
  readonly code?: string;
  readonly details?: unknown;

  constructor(error: { message?: unknown; code?: unknown; details?: unknown }) {
    super(typeof error.message === 'string' ? error.message : JSON.stringify(error));
    if (typeof error.code === 'string') this.code = error.code;
    this.details = error.details;
  }
}

export class BroadcastClient extends ClientProxy {
  readonly #bus: Bus;
  readonly #options: Required<BroadcastClientOptions>;
  readonly #requests: Requests;
  /** Its own, among those. */
  readonly #asked = new Set<string>();

  constructor(bus: Bus, { timeout = 5_000, discovery = 1_000, maxRequests = 100_000 }: BroadcastClientOptions = {}) {
    super();
    this.#bus = bus;
    this.#options = { timeout, discovery, maxRequests };
    this.#requests = requestsOf(bus);
  }

  /** The bus belongs to the module; an outage fails the call that meets it, not the client. */
  override connect(): Promise<void> {
    return Promise.resolve();
  }

  override close(): void {
    for (const id of [...this.#asked]) this.#requests.fail(id, new BroadcastError('CLOSED', 'the client was closed'));
  }

  /** Nest calls it at the end of an application: what is still waited for will not come. */
  onApplicationShutdown(): void {
    this.close();
  }

  override unwrap<T = Bus>(): T {
    return this.#bus as T;
  }

  protected override dispatchEvent<T = unknown>({ pattern, data }: ReadPacket): Promise<T> {
    const subject = this.normalizePattern(pattern as string);
    const attributes = () => ({ 'messaging.system': 'roomcast', 'messaging.destination.name': subject });
    return this.#bus.tracing.produce('publish', attributes, (traceparent) =>
      this.#bus.control.send('all', { kind: EVENT, traceparent }, [subject, data]),
    ) as Promise<T>;
  }

  protected override publish({ pattern, data }: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    const { maxRequests, ...bounds } = this.#options;
    if (this.#asked.size >= maxRequests) {
      callback({ err: new BroadcastError('OVERLOADED', `${maxRequests} requests wait for an answer already`) });
      return () => undefined;
    }
    const subject = this.normalizePattern(pattern as string);
    const over = () => void this.#asked.delete(id);
    const id = this.#requests.ask({ subject, data, ...bounds, callback, over });
    this.#asked.add(id);
    return () => this.#requests.cancel(id);
  }

  protected override serializeError(error: unknown): Error {
    if (error instanceof Error) return error;
    return new RemoteError(typeof error === 'object' && error !== null ? error : { message: String(error) });
  }
}
