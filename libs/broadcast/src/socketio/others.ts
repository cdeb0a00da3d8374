/*
 * The other servers, as one namespace's adapter speaks to them: tells and asks all of them, or the one that a socket is
 * connected to, and says what is missing when not all have answered.
 */
import type { BroadcastOptions } from 'socket.io-adapter';
import { instanceOf, type Header } from '../envelope.js';
import { BroadcastError } from '../errors.js';
import type { Departure } from '../membership.js';
import { looksLikeSocketId } from '../routing.js';
import type { Channel } from '../transport.js';
import type { AdapterHub } from './hub.js';
import { Questions, type Outcome } from './questions.js';
import { isAnswerTo } from './shapes.js';

export interface OthersOptions {
  /** Left out for `/`. */
  nsp: string | undefined;
  /** How long to wait for answers, in ms. */
  timeout: number;
  /** Whether an incomplete answer is an error for who asked. */
  strict: boolean;
  /** Hears of answers that are not complete. */
  incomplete: (what: Incomplete) => void;
}

/** An answer that does not hold everything there is. */
export interface Incomplete {
  /** What was asked: `fetchSockets` … */
  request: string;
  /** Ids of the servers whose part is missing. */
  missing: string[];
}

/** A question that every server answers, with `null` where the namespace is not open. */
interface Inquiry<T> {
  kind: string;
  address?: Partial<Header>;
  args?: readonly unknown[];
  /** @default as the adapter was told, in ms */
  timeout?: number;
  /** The only one that is asked. @default all */
  member?: string;
  /** Hears every answer as it comes. */
  heard?: (answer: T, from: string) => void;
}

type Flags = BroadcastOptions['flags'] & { expectSingleResponse?: boolean };

export class Others {
  readonly questions: Questions;
  readonly #hub: AdapterHub;
  readonly #options: OthersOptions;

  constructor(hub: AdapterHub, options: OthersOptions) {
    this.#hub = hub;
    this.#options = options;
    this.questions = new Questions((member) => hub.membership.check(member));
  }

  /** Ids of all that are known now. */
  get ids(): string[] {
    return this.#hub.membership.others.map(({ id }) => id);
  }

  /**
   * @param member one of them. @default all
   * @throws BroadcastError through the promise
   */
  tell(kind: string, header: Partial<Header>, args: readonly unknown[], member?: string): Promise<void> {
    const to = member === undefined ? 'all' : { member };
    return this.#hub.send(to, { kind, nsp: this.#options.nsp, ...header }, [...args]);
  }

  /** Asks all of them, once this server has been there for long enough to know them. Never rejects. */
  async ask<T>({ kind, address, args = [], timeout, member, heard }: Inquiry<T>): Promise<Outcome<T>> {
    await this.#hub.membership.ready;
    const outcome = await this.questions.ask<T | null>({
      of: member === undefined ? this.ids : [member],
      timeout: timeout ?? this.#options.timeout,
      send: (id) => this.tell(kind, { ...address, id }, args, member),
      fits: (answer) => isAnswerTo(kind, args, answer),
      part: (answer, from) => answer !== null && heard?.(answer, from),
    });
    return { ...outcome, answers: outcome.answers.filter((answer) => answer !== null) };
  }

  /** The answers of all of them, or of those that have answered. @throws BroadcastError `TIMEOUT` where that is not enough */
  async gather<T>(request: string, inquiry: Inquiry<T>): Promise<T[]> {
    const outcome = await this.ask(inquiry);
    const error = this.complain(request, outcome);
    if (error && this.#options.strict) throw error;
    return outcome.answers;
  }

  /** Resolves when all of them, or one, have done what they were told before. Never rejects. */
  async settled(request: string, member?: string): Promise<void> {
    await this.#hub.membership.ready;
    const outcome = await this.questions.ask<null>({
      of: member === undefined ? this.ids : [member],
      timeout: this.#options.timeout,
      send: (id) => this.tell('sockets.settle', { id }, [], member),
      fits: (answer) => isAnswerTo('sockets.settle', [], answer),
    });
    this.complain(request, outcome);
  }

  /** The server of a single socket that was fetched from there: nobody else needs to hear what is for it. */
  onlyOwner({ rooms, flags }: BroadcastOptions): string | undefined {
    const { expectSingleResponse, local }: Flags = flags ?? {};
    const [room] = rooms;
    return expectSingleResponse && !local && rooms.size === 1 ? this.#hub.owners.of(String(room)) : undefined;
  }

  /**
   * The ways to rooms. A socket's own id is a room that no instance subscribes to: it is reached through its owner, and
   * through everybody as long as nobody has said who that is.
   *
   * @param isHere whether a socket is connected to this server
   */
  waysTo(rooms: readonly string[], isHere: (socket: string) => boolean): readonly Channel[] {
    const [first = ''] = rooms;
    if (rooms.length === 1 && !looksLikeSocketId(first)) return [`room:${first}`];
    const ways = new Set<Channel>();
    for (const room of rooms) {
      ways.add(`room:${room}`);
      if (!looksLikeSocketId(room) || isHere(room)) continue;
      const owner = this.#hub.owners.of(room);
      ways.add(owner === undefined ? 'all' : `instance:${instanceOf(owner)}`);
    }
    return [...ways];
  }

  /** Tells about what is missing, if anything is. */
  complain(request: string, { silent, gone, failure }: Outcome<unknown>): BroadcastError | undefined {
    const missing = [...silent, ...gone];
    if (missing.length === 0) return undefined;
    const why = failure ? `: ${failure.message}` : '';
    const text = `${request}: no answer from ${missing.join(', ')}${why}`;
    const error = new BroadcastError('TIMEOUT', text, { cause: failure });
    this.#options.incomplete({ request, missing });
    this.#hub.bus.report(error);
    return error;
  }

  left(member: string, how: Departure): void {
    this.questions.left(member, how);
  }
}
