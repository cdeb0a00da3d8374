/*
 * The Nest transport strategy: hears internal messages and hands them to `@OnBroadcast`, `@EventPattern` and
 * `@MessagePattern` handlers, and works on the queues of `@OnJob` handlers. What this instance has no handler for passes in silence: most do not handle most.
 *
 *   app.connectMicroservice({ strategy: new BroadcastServer(app.get(Bus)) })
 */
import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import { finalize, takeUntil, throwError } from 'rxjs';
import type { Bus } from '../bus.js';
import { decodeArgs, instanceOf, type Message } from '../envelope.js';
import { toError } from '../errors.js';
import { Answers } from './answers.js';
import { BroadcastContext } from './broadcast.context.js';
import { JobHandlers, type JobServerOptions } from './job-handlers.js';
import { BROADCAST_TRANSPORT } from './on-broadcast.decorator.js';
import { matches } from './pattern.js';
import {
  CANCEL,
  EVENT,
  HERE,
  REPLY,
  REQUEST,
  WHO,
  type CancelArgs,
  type EventArgs,
  type Reply,
  type RequestArgs,
  type WhoArgs,
} from './wire.js';

export interface BroadcastServerOptions {
  /** How the queues of `@OnJob` handlers are worked on. */
  jobs?: JobServerOptions;
  /** How often to look whether those whose requests are being answered are still there, in ms. @default 10_000 */
  askerInterval?: number;
}

type Handlers = Map<string, MessageHandler>;

export class BroadcastServer extends Server implements CustomTransportStrategy {
  override transportId = BROADCAST_TRANSPORT;
  readonly #bus: Bus;
  /** Kept apart: the base class has one map, in which an event and a request by the same pattern collide. */
  readonly #events: Handlers = new Map();
  readonly #jobs: JobHandlers;
  readonly #answers: Answers;
  #stops: (() => void)[] = [];
  #alive?: NodeJS.Timeout;

  constructor(bus: Bus, { jobs = {}, askerInterval = 10_000 }: BroadcastServerOptions = {}) {
    super();
    this.#bus = bus;
    this.#jobs = new JobHandlers(
      bus.jobs,
      jobs,
      async (handler, data, context) =>
        this.transformToObservable<unknown>((await handler(data, context)) as Promise<unknown>),
      (error, { id, queue, pattern, attempt }) => {
        const { message, stack } = toError(error);
        this.logger.error(`job ${id} (${queue}, ${pattern}) failed at attempt ${attempt}: ${message}`, stack);
      },
    );
    const log = (level: 'error' | 'warn' | 'debug', message: string) => void this.logger[level]?.(message);
    this.#answers = new Answers(bus.control, { interval: askerInterval }, log);
    bus.on('state', (state) => this._status$.next(state));
  }

  override addHandler(pattern: unknown, handler: MessageHandler, isEventHandler = false, extras = {}): void {
    const route = this.normalizePattern(pattern as string);
    if (this.#jobs.add(route, handler, extras)) return;
    super.addHandler(pattern, handler, isEventHandler, extras);
    if (!isEventHandler) return;
    if (!this.#events.has(route)) this.#events.set(route, handler);
  }

  /** Waits for the bus as long as the bus itself does at start; a broker that is down does not keep the process down. */
  listen(callback: (error?: unknown) => void): void {
    const { control } = this.#bus;
    for (const stop of this.#stops) stop();
    this.#stops = [
      control.on(EVENT, (message) => this.#onEvent(message)),
      control.on(WHO, (message) => this.#onWho(message)),
      control.on(REQUEST, (message) => this.#onRequest(message)),
      control.on(CANCEL, (message) => this.#onCancel(message)),
    ];
    this.#jobs.listen();
    // On the embedded transport nothing else keeps the event loop, and with it the process, alive.
    this.#alive = setInterval(() => undefined, 2 ** 30);
    this.#bus.connect().then(
      () => callback(),
      () => callback(),
    );
  }

  async close(): Promise<void> {
    await this.#jobs.close();
    for (const stop of this.#stops) stop();
    // Some have been told a moment ago that this instance answers: they are to ask another, not to wait.
    const { control } = this.#bus;
    this.#stops = [
      control.on(REQUEST, (message) => this.#refuse(message)),
      control.on(CANCEL, (message) => this.#onCancel(message)),
    ];
    clearInterval(this.#alive);
  }

  /** `state`, `error`, `gap` and `blocked`, as the bus has them. */
  override on(event: string, callback: unknown): void {
    this.#bus.on(event as 'state', callback as () => void);
  }

  override unwrap<T = Bus>(): T {
    return this.#bus as T;
  }

  /** The base class reads a string pattern as JSON first, so that `42` would never match. */
  override getHandlerByPattern(pattern: string): MessageHandler | null {
    return this.#find(pattern) ?? null;
  }

  #onEvent(message: Message): void {
    const [subject, data] = decodeArgs(message) as EventArgs;
    const context = new BroadcastContext([subject, message.header]);
    for (const [pattern, handler] of this.#events) {
      if (matches(pattern, subject)) this.#runEvent(handler, data, context);
    }
  }

  #runEvent(handler: MessageHandler, data: unknown, context: BroadcastContext): void {
    this.#run(context, async (end) => {
      const stream = this.transformToObservable<unknown>((await handler(data, context)) as Promise<unknown>);
      // Nest has logged what a handler throws before it gets here.
      stream.pipe(finalize(end)).subscribe({ error: () => undefined });
    });
  }

  #onWho(message: Message): void {
    const [question, pattern] = decodeArgs(message) as WhoArgs;
    if (this.#find(pattern)) this.#say(message, HERE, [question]);
  }

  #onRequest(message: Message): void {
    const [request, subject, data] = decodeArgs(message) as RequestArgs;
    const { origin } = message.header;
    const handler = this.#find(subject);
    if (!handler) return this.#refuse(message);
    const context = new BroadcastContext([subject, message.header]);
    // There is nobody to answer.
    if (origin === undefined) return this.#runEvent(handler, data, context);
    const answer = this.#answers.begin({ request, subject, by: instanceOf(origin) });
    this.#run(context, async (end) => {
      const over = () => {
        this.#answers.done(answer);
        end();
      };
      const given = Promise.resolve(handler(data, context)).catch((error: unknown) => throwError(() => error));
      const stream = this.transformToObservable<unknown>((await given) as Promise<unknown>);
      // Cancelled while the handler was on its way to a stream: there is nobody to answer.
      if (answer.over) return over();
      this.send(stream.pipe(takeUntil(answer.ended), finalize(over)), (reply: object) => answer.say(reply));
    });
  }

  /** No handler runs. */
  #refuse(message: Message): void {
    const [request, subject] = decodeArgs(message) as RequestArgs;
    const err = { code: 'NO_LISTENER', message: `nobody handles "${subject}"` };
    this.#say(message, REPLY, [request, { err, isDisposed: true, refused: true } satisfies Reply]);
  }

  #onCancel(message: Message): void {
    const [request] = decodeArgs(message) as CancelArgs;
    this.#answers.cancel(request);
  }

  /** Nest 11 has no such way to its hooks for tracing: there they are not called. */
  #run(context: BroadcastContext, work: (end: () => void) => Promise<void>): void {
    const hooked = 'runWithProcessingHooks' in this;
    const attributes = () => ({ 'messaging.system': 'roomcast', 'messaging.destination.name': context.getSubject() });
    const running = this.#bus.tracing.consume('handle', context.getTraceparent(), attributes, (): unknown =>
      hooked ? this.runWithProcessingHooks(context, work) : work(() => undefined),
    );
    Promise.resolve(running).catch((error: unknown) => void this.logger.error(toError(error)));
  }

  #say({ header }: Message, kind: string, args: unknown[]): void {
    if (header.origin === undefined) return;
    const instance = instanceOf(header.origin);
    // The one who asked may be gone by now.
    this.#bus.control.send({ instance }, { kind }, args).catch((error: unknown) => void this.logger.debug?.(error));
  }

  #find(subject: string): MessageHandler | undefined {
    const handlers: Handlers = this.messageHandlers;
    const exact = handlers.get(subject);
    if (exact && !exact.isEventHandler) return exact;
    for (const [pattern, handler] of handlers) if (!handler.isEventHandler && matches(pattern, subject)) return handler;
    return undefined;
  }
}
