/*
 * What everyone else holds: the one place that opens links, backs off, asks for the subscriptions again and watches
 * whether the link still works. It knows channels and bytes, not rooms, sockets or brokers.
 *
 *   idle → connecting → up ⇄ down      and from any of them → closed
 *
 * `up` means that the broker has acknowledged every wanted subscription. When the broker dies the state is `down`, one
 * `error` tells why, publishing waits for at most the outbox's age, and the wanted subscriptions are kept; when it
 * returns they are asked for again, the state is `up`, and `gap` says that messages may have been missed.
 */
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { backoff, LONGEST_PAUSE, type BackoffOptions } from './backoff.js';
import { checkBusOptions, type BusOptions } from './bus-options.js';
import { checkTransport } from './checks.js';
import { Control } from './control.js';
import { deadline, pause } from './deadline.js';
import { decode, decodeArgs, encode, NEWER, stamp, textOf } from './envelope.js';
import { BroadcastError, toError, type About } from './errors.js';
import { Failures } from './failures.js';
import { Jobs } from './jobs.js';
import { Probe } from './probe.js';
import { Logs } from './logs.js';
import type { Position } from './position.js';
import { Publisher } from './publisher.js';
import { BrokerRefusal } from './refusal.js';
import { Records } from './records.js';
import { Signature, type Sealed } from './signature.js';
import { Subscriptions, type Listener, type Subscription } from './subscriptions.js';
import { Timing } from './timing.js';
import { Tracing } from './tracing.js';
import type { AppendOptions, Channel, Link, Transport } from './transport.js';

export type BusState = 'idle' | 'connecting' | 'up' | 'down' | 'closed';

export interface BusEvents {
  state: [state: BusState];
  /** It is about to be closed: what is published now, before anything is awaited, is sent yet. */
  closing: [];
  /** One per outage, and at most one a minute of any other kind. Counts are in {@link Bus.counts}. */
  error: [error: BroadcastError];
  /**
   * Messages have been missed: without a room, in every room without history, since the link is back after an outage;
   * with one, in that room, whose history does not reach back to where this instance was.
   */
  gap: [cause: Error, room?: string];
  /** The broker takes no messages (`true`), and says why, or takes them again (`false`). Receiving goes on. */
  blocked: [on: boolean, why?: string];
}

/** A link that lived this long starts the backoff afresh; a shorter life counts as one more failed attempt. */
const STABLE = 5_000;
const REPORT_INTERVAL = 60_000;
/** Bytes of a message in which its id is looked for. */
const HEAD = 512;

export class Bus extends EventEmitter<BusEvents> {
  readonly instance: string;
  readonly transport: Transport;
  /** When this process joined, in ms since 1970. */
  readonly startedAt = Date.now();
  /** What instances say to each other beside the rooms. */
  readonly control: Control;
  /** Spans of what is said and done, where somebody collects them. */
  readonly tracing: Tracing;
  /** Work for exactly one worker of a queue. */
  readonly jobs: Jobs;
  /** What happened so far, in numbers that only grow. */
  readonly counts = {
    published: 0,
    received: 0,
    dropped: 0,
    unreadable: 0,
    untrusted: 0,
    failed: 0,
    ignored: 0,
    outages: 0,
    /** Messages read from logs because they were missed live. */
    caughtUp: 0,
    /** Rooms with history in which messages have been missed for good. */
    gaps: 0,
    /** Rooms whose last messages were let go of, since those of all took too much memory. */
    trimmed: 0,
    /** What did not fit: bytes of a room at hand, messages that wait while others are read, and ids of late. */
    ringFull: 0,
    bufferFull: 0,
    idsFull: 0,
    /** Times that somebody came back to a room with history and was given all that was missed. */
    recovered: 0,
    /** The same, where that could not be promised. */
    notRecovered: 0,
  };
  /** How long it took, for each message. */
  readonly timings = {
    /** From the call until the broker has accepted it. */
    publish: new Timing(),
    /** From when it was said, by its sender's clock, until it is written to the sockets here. */
    delivery: new Timing(),
  };
  /** What was not published, by why, in numbers that only grow; and what the broker refuses now. */
  readonly failures = new Failures();
  /** The histories of rooms. */
  readonly logs: Logs;
  /** What outlives every instance. */
  readonly records: Records;

  readonly #callTimeout: number;
  readonly #backoff: BackoffOptions;
  readonly #subscriptions: Subscriptions;
  readonly #publisher: Publisher;
  readonly #signature: Signature;
  /** One for each way through the broker: either may be gone while the other one works. */
  readonly #probes: { readonly control: Probe; readonly rooms: Probe };
  /** The newest of all links so far. */
  #link?: Link;
  readonly #closing = new AbortController();
  readonly #reported = new Map<string, number>();
  #state: BusState = 'idle';
  /** The broker takes no messages, and has said why. */
  #alarm?: string;
  /** Whether it has said so to the link of now: each is told for itself. */
  #isTold = false;
  #everUp = false;
  #lost?: (cause: Error) => void;
  /** Why there is no link. */
  #failure?: Error;
  /** What no further attempt would mend. */
  #hopeless?: BroadcastError;
  #life?: Promise<void>;
  #closed?: Promise<void>;

  constructor(transport: Transport, options: BusOptions = {}) {
    super();
    checkTransport(transport);
    checkBusOptions(options);
    this.setMaxListeners(0);
    const { instance = `i-${randomBytes(4).toString('hex')}`, callTimeout = 5_000, linger = 10_000 } = options;
    const failed = (cause: Error) => this.#lost?.(cause);
    this.transport = transport;
    this.instance = instance;
    this.#callTimeout = callTimeout;
    this.#backoff = options.backoff ?? {};
    this.tracing = new Tracing(options);
    this.#subscriptions = new Subscriptions({ callTimeout, linger, failed });
    this.logs = new Logs(
      {
        features: transport.features,
        callTimeout,
        linger,
        counts: this.counts,
        blocked: () => this.blocked,
        log: () => this.#linkOfNow().log,
        subscribe: (channel, listener) => this.subscribe(channel, listener),
        append: (room, payload, appending) => this.#append(room, payload, appending),
        open: (channel, payload) => this.#signature.open(channel, payload),
        failed,
        misread: (channel, thrown) => void this.#misread(channel, thrown),
        gap: (cause, room) => this.#emit('gap', cause, room),
      },
      options,
    );
    this.records = new Records({
      callTimeout,
      records: () => this.#linkOfNow().records,
      seal: (channel, payload) => this.#signature.seal(channel, payload),
      open: (channel, payload) => this.#signature.open(channel, payload),
      isCurrent: (channel, payload) => this.#signature.isCurrent(channel, payload),
      misread: (channel, thrown) => void this.#misread(channel, thrown),
      // Told by whoever has asked.
      refused: (refusal) => this.failures.refused(refusal),
    });
    const bounds = {
      outboxSize: options.outboxSize ?? 1_000,
      outboxAge: options.outboxAge ?? 2_000,
      maxBytes: options.maxBytes ?? 64 * 1024 * 1024,
      callTimeout,
      failed,
    };
    this.#publisher = new Publisher({
      ...bounds,
      appendTimeout: options.appendTimeout ?? 10_000,
      latency: this.timings.publish,
      failures: this.failures,
      refused: (refusal) => {
        this.failures.refused(refusal);
        this.report(refusal);
      },
    });
    const { tracing } = this;
    this.jobs = new Jobs({ ...bounds, tracing, backoff: this.#backoff, report: (error) => this.report(error) });
    this.#signature = new Signature(options);
    this.control = new Control(this);
    const probing = {
      interval: options.probeInterval ?? 2_000,
      misses: options.probeMisses ?? 3,
      deaf: (silence: number) => failed(new BroadcastError('TIMEOUT', `the link is deaf: no echo for ${silence} ms`)),
      impostor: () => this.report(new BroadcastError('BAD_REQUEST', impostorMessage(instance))),
    };
    const ofRooms = `probe:${instance}` as const;
    const { control } = this;
    this.#probes = {
      control: new Probe({ ...probing, send: (id) => control.send({ instance }, { kind: 'probe' }, [id]) }),
      rooms: new Probe({
        ...probing,
        send: async (id) => this.publish(ofRooms, encode({ ...stamp(instance), kind: 'probe' }, [id])),
      }),
    };
    control.on('probe', (message) => this.#probes.control.heard(textOf(decodeArgs(message)[0])));
    this.subscribe(ofRooms, (payload) => {
      const message = decode(payload);
      if (message !== NEWER) this.#probes.rooms.heard(textOf(decodeArgs(message)[0]));
    });
  }

  get state(): BusState {
    return this.#state;
  }

  /** Whether the broker takes no messages for now. */
  get blocked(): boolean {
    return this.#alarm !== undefined;
  }

  /** What is in the way now, in a sentence: why there is no link, or what the broker takes none of. */
  get trouble(): string | undefined {
    if (this.#state !== 'up' && this.#failure) return `${this.transport.name}: ${this.#failure.message}; reconnecting`;
    return this.#alarm === undefined ? this.failures.refusal?.message : takesNothing(this.#alarm);
  }

  /** Whether the bus has ever been up: an instance is not ready before that. */
  get everUp(): boolean {
    return this.#everUp;
  }

  /** How long the last probe took to come back, in ms. */
  get roundTrip(): number | undefined {
    return this.#probes.rooms.roundTrip;
  }

  /** Longest time between two attempts to connect, in ms. */
  get longestPause(): number {
    return this.#backoff.max ?? LONGEST_PAUSE;
  }

  /** Number of channels that this process wants to hear. */
  get wanted(): number {
    return this.#subscriptions.wanted;
  }

  /**
   * Starts connecting, and goes on for as long as the bus is not closed. Resolves when the bus is up. Rejects with
   * `DRIVER_MISSING` at once when the broker's library is not installed; the bus is closed then.
   *
   * @param wait rejects with `UNAVAILABLE` after this many ms; the bus goes on trying
   */
  connect(wait = this.#callTimeout): Promise<void> {
    if (this.#state === 'idle') {
      this.#set('connecting');
      this.#life = this.#live();
    }
    return this.ready(wait);
  }

  /** Resolves when the bus is up. Rejects with `UNAVAILABLE` after `wait` ms, or with `CLOSED`. */
  ready(wait = this.#callTimeout): Promise<void> {
    if (this.#state === 'up') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (error?: BroadcastError) => {
        clearTimeout(timer);
        this.off('state', onState);
        if (error) reject(error);
        else resolve();
      };
      const onState = (state: BusState) => {
        if (state === 'up') settle();
        if (state === 'closed') settle(this.#hopeless ?? new BroadcastError('CLOSED', 'the bus was closed'));
      };
      const timer = setTimeout(() => settle(this.#unreachable(wait)), wait);
      this.on('state', onState);
      if (this.#state === 'closed') onState('closed');
    });
  }

  /**
   * Sends to everyone who has subscribed to the channel, this process included. Resolves when the broker has accepted
   * it. Rejects with `UNAVAILABLE` (nothing was sent), `UNCERTAIN`, `OVERLOADED`, `NO_LISTENER` or `CLOSED`; never
   * later than the outbox's age plus the call's deadline. With `BAD_REQUEST` when it begins with the byte 0x02, which
   * marks signed messages.
   */
  publish(channel: Channel, payload: Buffer): Promise<void> {
    this.counts.published++;
    try {
      const sent = this.#publisher.publish(channel, this.#signature.seal(channel, payload));
      return this.#state === 'idle' ? sent.catch((error: unknown) => this.#refused(toError(error))) : sent;
    } catch (error) {
      return Promise.reject(toError(error));
    }
  }

  /** Listens to a channel, from now on and through every outage. */
  subscribe(channel: Channel, listener: Listener): Subscription {
    return this.#subscriptions.add(channel, listener);
  }

  /**
   * Tells about something that went wrong and has no caller to tell: as the `error` event, at most once a minute for
   * each code, and each reason that the broker has to refuse. Without a listener it becomes a process warning: an error is never silent, and never fatal.
   */
  report(error: BroadcastError): void {
    const kind = error instanceof BrokerRefusal ? `refused: ${error.reason}` : error.code;
    const last = this.#reported.get(kind);
    if (last !== undefined && performance.now() - last < REPORT_INTERVAL) return;
    this.#reported.set(kind, performance.now());
    this.#tell(error);
  }

  /**
   * Waits (bounded) for what is being sent, lets go of the broker, and refuses everything from then on. Bounded in time
   * even when the connection is dead; never rejects.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#emit('closing');
    // First: a running job may still have something to say.
    await this.jobs.close();
    if (this.#state === 'up') await this.#publisher.finish();
    this.#set('closed');
    this.#closing.abort();
    this.#publisher.close();
    this.logs.close();
    this.#subscriptions.close();
    await this.#life;
  }

  /** One life of a link after the other. */
  async #live(): Promise<void> {
    let attempt = 0;
    let toldOutage = false;
    while (!this.#closing.signal.aborted) {
      const { cause, lived } = await this.#oneLink(() => (toldOutage = false));
      if (this.#closing.signal.aborted) return;
      this.#failure = cause;
      if (cause instanceof BroadcastError && cause.code === 'DRIVER_MISSING') {
        this.#hopeless = cause;
        void this.close();
        return;
      }
      if (!toldOutage) {
        toldOutage = true;
        this.counts.outages++;
        this.#tell(
          new BroadcastError('LINK_LOST', `${this.transport.name}: ${cause.message}; reconnecting`, { cause }),
        );
      }
      if (lived >= STABLE) attempt = 0;
      await pause(backoff(attempt++, this.#backoff), this.#closing.signal);
    }
  }

  /** Opens a link, serves it until it is lost, and closes it. Returns why it ended and how long it was up, in ms. */
  async #oneLink(onUp: () => void): Promise<{ cause: Error; lived: number }> {
    const ending = new AbortController();
    const lost = new Promise<Error>((resolve) => {
      this.#lost = resolve;
      this.#closing.signal.addEventListener('abort', () => resolve(new Error('closed')), { signal: ending.signal });
    });
    this.#isTold = false;
    let link: Link | undefined;
    let upAt: number | undefined;
    try {
      link = await this.#open(lost, ending.signal);
      await Promise.race([this.#subscriptions.attach(link), rejectWith(lost)]);
      upAt = performance.now();
      onUp();
      this.#up(link);
      return { cause: await lost, lived: performance.now() - upAt };
    } catch (error) {
      return { cause: this.#isTold ? unopened(this.#alarm, error) : toError(error), lived: 0 };
    } finally {
      this.#lost = undefined;
      ending.abort();
      this.#down();
      if (link)
        await deadline(link.close(), this.#callTimeout, 'closing the link').catch((e: unknown) => this.#warn(e));
    }
  }

  async #open(lost: Promise<Error>, signal: AbortSignal): Promise<Link> {
    const opening = this.transport.open(
      {
        message: (channel, payload, pos) => {
          if (!signal.aborted) this.#receive(channel, payload, pos);
        },
        lost: (cause) => {
          if (!signal.aborted) this.#lost?.(cause);
        },
        blocked: (on, why) => {
          if (signal.aborted) return;
          this.#isTold = on;
          this.#block(on, why);
        },
        gap: (cause, from) => {
          if (!signal.aborted) this.logs.lost(cause, from);
        },
        forgot: () => void this.counts.idsFull++,
      },
      {
        instance: this.instance,
        signal,
        retention: this.logs.retention,
        idWindow: this.logs.idWindow,
        previous: this.#link,
      },
    );
    const { address } = this.transport;
    const what = address ? `connecting to ${address}` : 'connecting';
    return (this.#link = await deadline(Promise.race([opening, rejectWith(lost)]), this.#callTimeout, what));
  }

  #up(link: Link): void {
    const back = this.#state === 'down';
    this.#everUp = true;
    this.#failure = undefined;
    this.#publisher.attach(link);
    this.jobs.attach(link);
    for (const probe of Object.values(this.#probes)) probe.start();
    this.#set('up');
    if (!this.#isTold) this.#block(false);
    this.logs.up();
    if (back && this.transport.features.network) this.#emit('gap', new Error('the link to the broker was lost'));
  }

  #down(): void {
    for (const probe of Object.values(this.#probes)) probe.stop();
    this.#publisher.detach();
    this.logs.down();
    this.jobs.detach();
    this.#subscriptions.detach();
    // An alarm is over when a link takes messages, or the broker is not there any more.
    this.#block(this.#isTold, this.#alarm);
    if (this.#state === 'up') this.#set('down');
  }

  #block(on: boolean, why = ''): void {
    const isNew = this.blocked !== on;
    this.#alarm = on ? why : undefined;
    this.#publisher.block(on, why);
    this.jobs.block(on, why);
    for (const probe of Object.values(this.#probes)) probe.pause(on);
    if (isNew) this.#emit('blocked', on, ...(on && why !== '' ? [why] : []));
  }

  #receive(channel: Channel, payload: Buffer, pos?: Position): void {
    this.counts.received++;
    try {
      this.#subscriptions.deliver(channel, this.#signature.open(asRoom(channel), payload), pos);
    } catch (thrown) {
      throw this.#misread(channel, thrown, payload);
    }
  }

  #misread(channel: Sealed, thrown: unknown, payload?: Buffer): BroadcastError {
    const error = asBroadcastError(thrown, channel, payload);
    this.counts[counterOf(error)]++;
    this.report(error);
    return error;
  }

  #append(room: string, payload: Buffer, options: AppendOptions): Promise<Position | undefined> {
    this.counts.published++;
    try {
      return this.#publisher.append(room, this.#signature.seal(`room:${room}`, payload), options);
    } catch (error) {
      return Promise.reject(toError(error));
    }
  }

  #linkOfNow(): Link {
    if (this.#link && this.#state === 'up') return this.#link;
    throw new BroadcastError('UNAVAILABLE', `there is no link to the ${this.transport.name} broker now`);
  }

  #set(state: BusState): void {
    this.#state = state;
    this.#emit('state', state);
  }

  /** What was to be sent before connect(): told, since much of it is said by nobody who looks at promises. */
  #refused(error: Error): never {
    const forgotten = this.#state === 'idle' && error instanceof BroadcastError && error.code === 'UNAVAILABLE';
    if (!forgotten) throw error;
    const told = notConnected(error);
    this.report(told);
    throw told;
  }

  #unreachable(wait: number): BroadcastError {
    if (this.#state === 'idle') return notConnected();
    const { name, address } = this.transport;
    const cause = this.#isTold ? unopened(this.#alarm) : this.#failure;
    const why = cause ? `: ${cause.message}` : '';
    const where = address && !why.includes(address) ? ` at ${address}` : '';
    const message = `the ${name} broker${where} could not be reached within ${wait} ms${why}; the bus goes on trying`;
    return new BroadcastError('UNAVAILABLE', message, { cause });
  }

  #tell(error: BroadcastError): void {
    if (this.listenerCount('error') > 0) this.#emit('error', error);
    else this.#warn(error);
  }

  /** A listener that throws ends neither the life of a link nor, as `emit()` would, the turn of those after it. */
  #emit<E extends keyof BusEvents>(event: E, ...args: BusEvents[E]): void {
    for (const listener of this.rawListeners(event)) {
      try {
        Reflect.apply(listener, this, args);
      } catch (thrown) {
        this.#warn(thrown);
      }
    }
  }

  #warn(thrown: unknown): void {
    const error = toError(thrown);
    const code = error instanceof BroadcastError ? error.code : undefined;
    // Where in the application it was thrown is worth knowing; where in here is not.
    const thrower = code === 'LISTENER_FAILED' ? error.cause : code ? undefined : error;
    const detail = thrower instanceof Error ? thrower.stack : undefined;
    process.emitWarning(error.message, { type: 'BroadcastWarning', code, detail });
  }
}

/** A room's messages are signed alike, whether it has a history or not: other services need not know. */
function asRoom(channel: Channel): Channel {
  return channel.startsWith('log:') ? `room:${channel.slice('log:'.length)}` : channel;
}

async function rejectWith(lost: Promise<Error>): Promise<never> {
  throw await lost;
}

function takesNothing(alarm = ''): string {
  return `the broker takes no messages${alarm === '' ? '' : ` (${alarm})`}`;
}

function unopened(alarm?: string, cause?: unknown): Error {
  return new Error(`${takesNothing(alarm)}, which opening a link needs`, { cause });
}

function notConnected(cause?: unknown): BroadcastError {
  return new BroadcastError('UNAVAILABLE', 'the bus has not been connected: call bus.connect()', { cause });
}

function asBroadcastError(thrown: unknown, channel: Sealed, payload?: Buffer): BroadcastError {
  const cause = toError(thrown);
  const about = aboutMessage(channel, payload);
  if (cause instanceof BroadcastError) {
    return new BroadcastError(cause.code, `a message on ${channel} was dropped: ${cause.message}`, { cause, about });
  }
  return new BroadcastError('LISTENER_FAILED', `a listener of ${channel} threw: ${cause.message}`, { cause, about });
}

/** As far as it can be seen without reading the message, which may be what failed. */
function aboutMessage(channel: Sealed, payload?: Buffer): About {
  const [, room] = /^(?:room|log):(.*)$/s.exec(channel) ?? [];
  const [, id] = /"id":"([^"\\]{1,128})"/.exec(payload?.toString('latin1', 0, HEAD) ?? '') ?? [];
  return { ...(room !== undefined && { room }), ...(id !== undefined && { id }) };
}

function counterOf({ code }: BroadcastError): 'unreadable' | 'untrusted' | 'failed' {
  switch (code) {
    case 'UNREADABLE':
      return 'unreadable';
    case 'UNTRUSTED':
      return 'untrusted';
    default:
      return 'failed';
  }
}

function impostorMessage(instance: string): string {
  return `another instance uses the id "${instance}" too: give each its own INSTANCE_ID`;
}
