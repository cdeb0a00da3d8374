/*
 * The Nest client: `emit()` tells every instance, `send()` asks one of those that can answer.
 */
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Bus } from '../bus.js';
import { decodeArgs, type Message } from '../envelope.js';
import { BroadcastError, toError } from '../errors.js';
import { ulid } from '../ulid.js';
import { CANCEL, EVENT, HERE, REPLY, REQUEST, WHO, type HereArgs, type ReplyArgs } from './wire.js';

export interface BroadcastClientOptions {
  /** How long `send()` waits for each part of an answer, in ms. Then `TIMEOUT`. @default 5_000 */
  timeout?: number;
  /** How long it waits for somebody who can answer, in ms. Then `NO_LISTENER`. @default 1_000 */
  discovery?: number;
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

interface Request {
  readonly pattern: string;
  readonly data: unknown;
  readonly callback: (packet: WritePacket) => void;
  timer?: NodeJS.Timeout;
  /** The instance that is asked, once one has said that it can answer. */
  asked?: string;
}

export class BroadcastClient extends ClientProxy {
  readonly #bus: Bus;
  readonly #timeout: number;
  readonly #discovery: number;
  readonly #requests = new Map<string, Request>();
  readonly #stops: (() => void)[];

  constructor(bus: Bus, { timeout = 5_000, discovery = 1_000 }: BroadcastClientOptions = {}) {
    super();
    this.#bus = bus;
    this.#timeout = timeout;
    this.#discovery = discovery;
    this.#stops = [
      bus.control.on(HERE, (message) => this.#onHere(message)),
      bus.control.on(REPLY, (message) => this.#onReply(message)),
    ];
  }

  /** The bus belongs to the module; an outage fails the call that meets it, not the client. */
  override connect(): Promise<void> {
    return Promise.resolve();
  }

  override close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    for (const id of this.#requests.keys()) this.#fail(id, new BroadcastError('CLOSED', 'the client was closed'));
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
    const id = ulid();
    const subject = this.normalizePattern(pattern as string);
    const request: Request = { pattern: subject, data, callback };
    this.#requests.set(id, request);
    this.#within(id, this.#discovery, new BroadcastError('NO_LISTENER', `no instance handles "${subject}"`));
    this.#bus.control.send('all', { kind: WHO }, [id, subject]).catch((error: unknown) => this.#fail(id, error));
    return () => this.#cancel(id);
  }

  protected override serializeError(error: unknown): Error {
    if (error instanceof Error) return error;
    return new RemoteError(typeof error === 'object' && error !== null ? error : { message: String(error) });
  }

  #onHere(message: Message): void {
    const [id] = decodeArgs(message) as HereArgs;
    const request = this.#requests.get(id);
    const instance = message.header.origin;
    if (!request || request.asked !== undefined || instance === undefined) return;
    request.asked = instance;
    this.#await(id, request);
    this.#bus.control
      .send({ instance }, { kind: REQUEST }, [id, request.pattern, request.data])
      .catch((error: unknown) => this.#fail(id, error));
  }

  #onReply(message: Message): void {
    const [id, reply] = decodeArgs(message) as ReplyArgs;
    const request = this.#requests.get(id);
    if (!request) return;
    if (reply.isDisposed || reply.err !== undefined) this.#forget(id);
    else this.#await(id, request);
    request.callback(reply as WritePacket);
  }

  #await(id: string, { pattern }: Request): void {
    const late = new BroadcastError('TIMEOUT', `no answer to "${pattern}" within ${this.#timeout} ms`);
    this.#within(id, this.#timeout, late);
  }

  #within(id: string, ms: number, otherwise: BroadcastError): void {
    const request = this.#requests.get(id);
    if (!request) return;
    clearTimeout(request.timer);
    request.timer = setTimeout(() => this.#fail(id, otherwise), ms);
  }

  #fail(id: string, error: unknown): void {
    const request = this.#requests.get(id);
    this.#cancel(id);
    request?.callback({ err: toError(error) });
  }

  /** Nobody waits for it any more, and whoever was asked may stop. One that is gone has stopped. */
  #cancel(id: string): void {
    const instance = this.#requests.get(id)?.asked;
    this.#forget(id);
    if (instance === undefined || this.#bus.state !== 'up') return;
    this.#bus.control.send({ instance }, { kind: CANCEL }, [id]).catch(() => undefined);
  }

  #forget(id: string): void {
    clearTimeout(this.#requests.get(id)?.timer);
    this.#requests.delete(id);
  }
}
