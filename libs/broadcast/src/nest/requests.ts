/*
 * What this process asks and has not been answered whole: finds somebody for each request, keeps the parts of its answer
 * in order, and tells whoever was asked when nobody waits any more. One for all clients of a bus, since a part of an
 * answer that none of them waits for is to be cancelled.
 */
import type { WritePacket } from '@nestjs/microservices';
import type { Bus } from '../bus.js';
import { decodeArgs, instanceOf, type Message } from '../envelope.js';
import { BroadcastError, toError } from '../errors.js';
import { ulid } from '../ulid.js';
import { Cancels } from './cancels.js';
import { Discovery, type Seeker } from './discovery.js';
import { HERE, isError, isLast, REPLY, REQUEST, WHO, type HereArgs, type Reply, type ReplyArgs } from './wire.js';

export interface Question {
  readonly subject: string;
  readonly data: unknown;
  /** How long to wait for each part of the answer, in ms, from when the question has been sent. */
  readonly timeout: number;
  /** How long to look for somebody who can answer, in ms. */
  readonly discovery: number;
  /** Hears the answer in parts. */
  readonly callback: (packet: WritePacket) => void;
  /** Nothing follows, also when it was cancelled. */
  readonly over: () => void;
}

interface Request extends Question, Seeker {
  readonly id: string;
  /** The instance that is asked, once one has said that it can answer. */
  asked?: string;
  /** Until when the next part is waited for; not known before the question has been sent. */
  until?: number;
  /** The number of the last part that was heard. */
  heard: number;
  /** Instances that turned out not to be there. */
  misses: number;
}

/** How often what is overdue is looked for, in ms. One timer for all. */
const TICK = 25;
/** Instances that a request finds gone before it is given up. */
const MISSES = 5;

/** Requests on their way to the broker at once. */
const SENDING = 500;

const all = new WeakMap<Bus, Requests>();

/** Those of the bus. */
export function requestsOf(bus: Bus): Requests {
  const requests = all.get(bus) ?? new Requests(bus);
  all.set(bus, requests);
  return requests;
}

export class Requests {
  readonly #bus: Bus;
  readonly #requests = new Map<string, Request>();
  readonly #discovery: Discovery;
  readonly #cancels: Cancels;
  /** Those for which somebody was found, and that are to be sent. */
  readonly #waiting: Request[] = [];
  #sending = 0;
  /** As of the last tick. */
  #now = 0;
  #ticked = 0;
  #timer?: NodeJS.Timeout;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#cancels = new Cancels(bus);
    this.#discovery = new Discovery({
      ask: (question, subject) => bus.control.send('all', { kind: WHO }, [question, subject]),
      now: () => this.#clock(),
    });
    bus.control.on(HERE, (message) => this.#onHere(message));
    bus.control.on(REPLY, (message) => this.#onReply(message));
    // Those who answer look whether this instance is still there. Only that it arrives matters.
    bus.control.on('ping', () => undefined);
    bus.on('state', (state) => {
      if (state !== 'closed') return;
      const closed = new BroadcastError('CLOSED', 'the bus was closed');
      for (const id of [...this.#requests.keys()]) this.fail(id, closed);
    });
  }

  /** Asks one instance that can answer. Returns the id by which the request may be cancelled. */
  ask(question: Question): string {
    const id = ulid();
    const request: Request = {
      ...question,
      id,
      heard: 0,
      misses: 0,
      found: (instance) => this.#send(request, instance),
      failed: (error) => this.fail(id, error),
    };
    this.#requests.set(id, request);
    this.#tickLater();
    this.#discovery.seek(request.subject, request);
    return id;
  }

  /** Nobody waits for it any more, and whoever was asked may stop. */
  cancel(id: string): void {
    const request = this.#requests.get(id);
    if (!request) return;
    this.#forget(request);
    this.#discovery.leave(request.subject, request);
    if (request.asked !== undefined) this.#cancels.say(request.asked, id);
  }

  fail(id: string, error: unknown): void {
    const request = this.#requests.get(id);
    this.cancel(id);
    request?.callback({ err: toError(error) });
  }

  /** In turn: ten thousand at once would keep the broker, and this process, from confirming any of them in time. */
  #send(request: Request, instance: string): void {
    request.asked = instance;
    this.#waiting.push(request);
    this.#sendNext();
  }

  #sendNext(): void {
    while (this.#sending < SENDING) {
      const request = this.#waiting.shift();
      if (!request) return;
      const { id, subject, data, asked: instance } = request;
      if (instance === undefined || this.#requests.get(id) !== request) continue;
      this.#sending++;
      this.#bus.control
        .send({ instance }, { kind: REQUEST }, [id, subject, data])
        .then(
          () => this.#sent(request, instance),
          (error: unknown) => this.#unsent(request, instance, toError(error)),
        )
        .finally(() => {
          this.#sending--;
          this.#sendNext();
        });
    }
  }

  #sent(request: Request, instance: string): void {
    if (this.#requests.get(request.id) === request && request.asked === instance) this.#await(request);
  }

  #unsent(request: Request, instance: string, error: Error): void {
    const code = error instanceof BroadcastError ? error.code : undefined;
    // There is no link: those behind it are not to wait for that one after the other.
    if (code === 'UNAVAILABLE') for (const { id } of this.#waiting.splice(0)) this.fail(id, error);
    if (this.#requests.get(request.id) !== request || request.asked !== instance) return;
    if (code === 'NO_LISTENER') this.#askAnother(request, instance);
    else this.fail(request.id, error);
  }

  /** The instance has not begun to answer, and will not. */
  #askAnother(request: Request, instance: string): void {
    const { id, subject } = request;
    request.asked = request.until = undefined;
    this.#discovery.forget(subject, instance);
    if (++request.misses <= MISSES) this.#discovery.seek(subject, request);
    else this.fail(id, new BroadcastError('NO_LISTENER', `no instance handles "${subject}"`));
  }

  #onHere({ header, ...message }: Message): void {
    const [question] = decodeArgs(message) as HereArgs;
    if (header.origin !== undefined) this.#discovery.here(question, instanceOf(header.origin));
  }

  #onReply({ header: { origin }, ...message }: Message): void {
    const [id, reply] = decodeArgs(message) as ReplyArgs;
    const request = this.#requests.get(id);
    if (request) return this.#hear(request, reply);
    // Of a stream that goes on: its cancellation was lost, or whoever asked was another process by this name.
    if (!isLast(reply) && origin !== undefined) this.#cancels.say(instanceOf(origin), id);
  }

  #hear(request: Request, { n, refused, ...packet }: Reply): void {
    const { id, subject, asked } = request;
    if (refused && request.heard === 0 && asked !== undefined) return this.#askAnother(request, asked);
    if (Number.isSafeInteger(n)) {
      const number = n as number;
      if (number <= request.heard) return;
      if (number > request.heard + 1 && !isError(packet.err)) {
        return this.fail(
          id,
          new BroadcastError('LINK_LOST', `parts of the answer to "${subject}" were lost: ask again`),
        );
      }
      request.heard = number;
    }
    if (isLast(packet)) this.#forget(request);
    else this.#await(request);
    request.callback(packet as WritePacket);
  }

  #await(request: Request): void {
    request.until = this.#clock() + request.timeout;
  }

  #forget({ id, over }: Request): void {
    this.#requests.delete(id);
    over();
  }

  /** In ms. Stands still while the process does: what lies in a socket, unread, is not late. */
  #clock(): number {
    return this.#timer ? this.#now + Math.min(performance.now() - this.#ticked, 2 * TICK) : this.#now;
  }

  #tickLater(): void {
    const idle = this.#requests.size === 0;
    if (this.#timer) return void (idle || this.#timer.ref());
    if (idle && this.#discovery.size === 0) return;
    this.#ticked = performance.now();
    this.#timer = setTimeout(() => {
      this.#now = this.#clock();
      this.#timer = undefined;
      this.#sweep();
      this.#tickLater();
    }, TICK);
    // Who answers what keeps no process alive.
    if (idle) this.#timer.unref();
  }

  #sweep(): void {
    this.#discovery.sweep();
    for (const { id, subject, asked, timeout, until = Infinity } of this.#requests.values()) {
      if (this.#now < until) continue;
      if (asked !== undefined) this.#discovery.forget(subject, asked);
      this.fail(id, new BroadcastError('TIMEOUT', `no answer to "${subject}" within ${timeout} ms`));
    }
  }
}
