/*
 * The way out: sends in order, waits a bounded time for a link, puts a deadline on the broker's answer, and lets no
 * more than a bounded amount be under way. It opens no links; the bus hands them in and takes them back.
 */
import { BroadcastError } from './errors.js';
import type { Failures } from './failures.js';
import { Line, type Standing } from './line.js';
import type { Position } from './position.js';
import { BrokerRefusal } from './refusal.js';
import type { Timing } from './timing.js';
import type { AppendOptions, Channel, Link } from './transport.js';

export interface PublisherOptions {
  /** Messages that may wait while there is no link. */
  outboxSize: number;
  /** How long a message may wait for a link, in ms. Then it is refused: nothing is sent late. */
  outboxAge: number;
  /** Deadline of the broker's answer, in ms. */
  callTimeout: number;
  /** How long a message to a log, whose id lets it be sent again, is sent again before its fate is uncertain, in ms. */
  appendTimeout: number;
  /** Bytes waiting and under way together. */
  maxBytes: number;
  /** How long the broker took to accept, from when it was said. */
  latency?: Timing;
  /** What it did not accept, and why. */
  failures?: Failures;
  /** The broker refuses something in words: told each time. */
  refused?: (refusal: BrokerRefusal) => void;
  /** A message stayed unanswered past its deadline: the link is not to be trusted any more. */
  failed: (cause: Error) => void;
}

interface Pending extends Standing {
  /** The order in which they were said. */
  readonly turn: number;
  readonly bytes: number;
  /** The room whose log it goes to: what is said there keeps its order. */
  readonly room?: string;
  send(link: Link): Promise<Position | undefined | void>;
  /** When it was said. */
  readonly said: number;
  /** When its present wait began: in the outbox, then under way. */
  since: number;
  /** Until when it is sent again, if it may be at all. */
  readonly until?: number;
  /** How often it has been sent. */
  attempts: number;
  /** The broker has refused it on a link that is still there. */
  refused: boolean;
  /** An attempt has had no answer: it may have arrived. */
  uncertain: boolean;
  /** What the broker has said to the last attempt. */
  refusal: BrokerRefusal | undefined;
  resolve(pos: Position | undefined): void;
  reject(error: Error): void;
}

/** How often overdue messages are looked for, in ms. One timer for all of them: a timer each costs more than sending. */
const SWEEP = 100;

export class Publisher {
  readonly #options: PublisherOptions;
  /** Both in the order of sending, which is the order of age. */
  #outbox = new Set<Pending>();
  readonly #underWay = new Line<Pending>();
  /** By room, the message that was refused and is under way again: what was said in the room after it waits for it. */
  readonly #again = new Map<string, Pending>();
  /** The last that this link has given as an answer. */
  #lastRefusal?: BrokerRefusal;
  #bytes = 0;
  #turns = 0;
  #link?: Link;
  #blocked = false;
  /** Why, behind what is said of it. */
  #alarm = '';
  #closed = false;
  #timer?: NodeJS.Timeout;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the broker has accepted the message. Rejects with `UNAVAILABLE` (no link within the outbox's age, the
   * outbox is full, or, as a `BrokerRefusal`, what the broker says), `OVERLOADED`, `UNCERTAIN` (sent, but never answered), `CLOSED`, or what the driver says.
   */
  publish(channel: Channel, payload: Buffer): Promise<void> {
    return this.#take(payload.length, (link) => link.publish(channel, payload)) as Promise<void>;
  }

  /** As publish(), into a room's log: what has no answer is sent again under its id, before what was said later. */
  append(room: string, payload: Buffer, options: AppendOptions): Promise<Position | undefined> {
    const until = performance.now() + this.#options.appendTimeout;
    return this.#take(payload.length, (link) => link.log.append(room, payload, options), { room, until });
  }

  /** Sends what waits, in order, and from now on everything at once. */
  attach(link: Link): void {
    this.#link = link;
    // What a dying link has refused says nothing about this one.
    for (const pending of this.#outbox) pending.refused = false;
    this.#flush();
  }

  /** The link is gone. What was under way may or may not have arrived, and says so. */
  detach(): void {
    this.#link = undefined;
    this.#blocked = false;
    this.#lastRefusal = undefined;
    const error = uncertain();
    const again: Pending[] = [];
    for (const pending of this.#underWay.all()) {
      pending.uncertain = true;
      if (!this.#mayGoAgain(pending)) this.#settle(pending, error);
      else if (this.#underWay.delete(pending)) again.push(pending);
    }
    this.#again.clear();
    this.#queue(...again);
  }

  /** The broker asks to stop, with its reason, or to go on. */
  block(on: boolean, why = ''): void {
    this.#blocked = on;
    this.#alarm = why === '' ? '' : ` (${why})`;
    this.#flush();
  }

  /** Takes nothing more, and resolves when nothing is waiting or under way: bounded, since every wait is. */
  async finish(): Promise<void> {
    this.#closed = true;
    while (this.#outbox.size + this.#underWay.size > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  close(): void {
    this.#closed = true;
    this.#link = undefined;
    clearTimeout(this.#timer);
    const error = new BroadcastError('CLOSED', 'the bus was closed');
    for (const pending of [...this.#outbox, ...this.#underWay.all()]) this.#settle(pending, error);
  }

  #take(
    bytes: number,
    send: Pending['send'],
    { room, until }: Pick<Pending, 'room' | 'until'> = {},
  ): Promise<Position | undefined> {
    const waits = !this.#link || this.#blocked || this.#isBehind(room);
    const refusal = this.#refusal(bytes, waits);
    if (refusal) {
      this.#options.failures?.add(refusal);
      return Promise.reject(refusal);
    }
    return new Promise((resolve, reject) => {
      const said = performance.now();
      // Field by field, those of the line too: one shape for all of them.
      const pending: Pending = {
        turn: ++this.#turns,
        bytes,
        room,
        send,
        said,
        since: said,
        until,
        attempts: 0,
        refused: false,
        uncertain: false,
        refusal: undefined,
        resolve,
        reject,
        before: undefined,
        behind: undefined,
        inLine: false,
      };
      this.#bytes += bytes;
      if (waits) this.#outbox.add(pending);
      else this.#send(this.#link!, pending, said);
      this.#sweepLater();
    });
  }

  #refusal(bytes: number, waits: boolean): BroadcastError | undefined {
    if (this.#closed) return new BroadcastError('CLOSED', 'the bus was closed');
    if (this.#bytes + bytes > this.#options.maxBytes) {
      return new BroadcastError('OVERLOADED', `more than ${this.#options.maxBytes} bytes are waiting to be sent`);
    }
    if (waits && this.#outbox.size >= this.#options.outboxSize) {
      const taken =
        this.#blocked || this.#link
          ? `the broker takes no messages now${this.#alarm}`
          : 'there is no link to the broker';
      return new BroadcastError(
        'UNAVAILABLE',
        `${taken}, and ${this.#options.outboxSize} messages are waiting already`,
      );
    }
    return undefined;
  }

  #flush(): void {
    for (const pending of this.#outbox) {
      if (!this.#link || this.#blocked) return;
      if (this.#isTooOld(pending)) continue; // The sweep is about to refuse it.
      if (pending.room !== undefined && this.#again.has(pending.room)) continue;
      if (pending.room !== undefined && pending.refused) this.#again.set(pending.room, pending);
      this.#outbox.delete(pending);
      this.#send(this.#link, pending);
    }
  }

  /** Whether something that was said in the room before has been refused, and is to be sent again first. */
  #isBehind(room: string | undefined): boolean {
    if (room === undefined) return false;
    if (this.#again.has(room)) return true;
    // On a link that takes messages nothing else waits.
    for (const pending of this.#outbox) if (pending.room === room) return true;
    return false;
  }

  #send(link: Link, pending: Pending, now = performance.now()): void {
    pending.since = now;
    const attempt = ++pending.attempts;
    this.#underWay.add(pending);
    pending.send(link).then(
      (pos) => this.#settle(pending, undefined, pos ?? undefined),
      (error: unknown) => {
        const why = error instanceof BroadcastError ? error : uncertain(error);
        // On a link that is gone it has been put back already, sent again, or settled.
        if (attempt !== pending.attempts || !pending.inLine) return;
        if (!this.#isRefusedForNow(pending, why)) {
          return this.#settle(pending, pending.uncertain && why instanceof BrokerRefusal ? uncertain(why) : why);
        }
        this.#underWay.delete(pending);
        pending.since = performance.now();
        pending.refused = true;
        this.#wasAgain(pending);
        this.#queue(pending);
      },
    );
  }

  /** Whether what has been refused is sent again on this link. */
  #isRefusedForNow(pending: Pending, why: BroadcastError): boolean {
    if (why instanceof BrokerRefusal) {
      pending.refusal = this.#lastRefusal = why;
      this.#options.refused?.(why);
      if (!why.passing || this.#isTooOld(pending)) return false;
    } else {
      pending.uncertain = true;
    }
    return why.code !== 'BAD_REQUEST' && this.#mayGoAgain(pending);
  }

  /** Whether others wait for it; from now on they do not. */
  #wasAgain(pending: Pending): boolean {
    const { room } = pending;
    return room !== undefined && this.#again.get(room) === pending && this.#again.delete(room);
  }

  /** Puts back what is to be sent again: some may have been refused by the link before others were. */
  #queue(...again: Pending[]): void {
    if (again.length > 0)
      this.#outbox = new Set([...again, ...this.#outbox].sort((one, other) => one.turn - other.turn));
  }

  /** What has not arrived waits for the outbox's age, what may have for as long as it is sent again. */
  #isTooOld({ uncertain, said, until = 0 }: Pending): boolean {
    const now = performance.now();
    return uncertain ? now > until : now - said >= this.#options.outboxAge;
  }

  #mayGoAgain({ until }: Pending): boolean {
    return !this.#closed && until !== undefined && performance.now() < until;
  }

  #settle(pending: Pending, error?: Error, pos?: Position): void {
    if (!this.#underWay.delete(pending) && !this.#outbox.delete(pending)) return;
    this.#bytes -= pending.bytes;
    if (error) {
      this.#options.failures?.add(error);
      pending.reject(error);
    } else {
      if (pending.room !== undefined) this.#options.failures?.accepted();
      this.#options.latency?.add(performance.now() - pending.said);
      pending.resolve(pos);
    }
    if (this.#wasAgain(pending)) this.#flush();
  }

  #tooLate({ uncertain: mayHaveArrived, refusal }: Pending): BroadcastError {
    if (mayHaveArrived) return uncertain(refusal);
    if (refusal) return refusal;
    // On a link that takes messages it has waited behind one of its room that was refused.
    if (this.#link && !this.#blocked && this.#lastRefusal) return this.#lastRefusal;
    const why =
      this.#blocked || this.#link ? `the broker took no messages${this.#alarm}` : 'there was no link to the broker';
    return new BroadcastError('UNAVAILABLE', `${why} within ${this.#options.outboxAge} ms: nothing was sent`);
  }

  #sweepLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#sweep();
      if (this.#outbox.size + this.#underWay.size > 0) this.#sweepLater();
    }, SWEEP);
  }

  #sweep(): void {
    const { callTimeout, failed } = this.#options;
    const now = performance.now();
    for (const pending of this.#outbox) {
      if (!this.#isTooOld(pending)) continue;
      this.#settle(pending, this.#tooLate(pending));
    }
    let overdue: BroadcastError | undefined;
    for (const pending of this.#underWay.all()) {
      if (now - pending.since < callTimeout) break;
      const takesNone = this.#blocked ? `takes no messages${this.#alarm}, and ` : '';
      overdue ??= new BroadcastError('UNCERTAIN', `the broker ${takesNone}did not answer within ${callTimeout} ms`);
      // Those that may be sent again are, on the next link: this one is given up below.
      if (this.#blocked || !this.#mayGoAgain(pending)) this.#settle(pending, overdue);
    }
    // A broker that has said "blocked" is alive and keeps its consumers: opening another link would only lose those.
    if (overdue && !this.#blocked) failed(overdue);
    // What a broker has refused for now.
    this.#flush();
  }
}

function uncertain(cause?: unknown): BroadcastError {
  const since = cause instanceof BrokerRefusal ? `, and since then ${cause.message}` : '';
  const why = `the link broke before the broker answered: it may have arrived${since}`;
  return new BroadcastError('UNCERTAIN', why, { cause });
}
