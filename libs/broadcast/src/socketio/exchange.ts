/*
 * What the servers of an application say to each other about a topic of its own: they tell, they ask, and hear who comes
 * and goes. As `serverSideEmit()`, but it is known who says what, who is missing, and no listener of clients is near.
 */
import type { Departure, Member } from '../membership.js';
import type { AdapterHub } from './hub.js';
import type { Others } from './others.js';

export interface ExchangeListener {
  /** Another server tells something. */
  told?(value: unknown, from: string): void;
  /** Another server asks something. Returns what it is answered, or a promise of it. */
  asked?(value: unknown, from: string): unknown;
  /** Another server is there from now on. */
  joined?(server: string): void;
  /** Another server is not there any more. */
  left?(server: string, how: Departure): void;
}

export interface Asking {
  /** How long to wait for the answers, in ms. */
  timeout: number;
  /** The only one to ask. @default all */
  server?: string;
}

/** What the others have answered in time. */
export interface Answers {
  /** By server; `undefined` of one that has no such topic. */
  readonly answers: ReadonlyMap<string, unknown>;
  /** Ids of those that are there, as far as anybody knows, and have not answered. */
  readonly missing: readonly string[];
}

export class Exchange {
  readonly #topic: string;
  readonly #hub: AdapterHub;
  readonly #others: Others;
  readonly #close: () => void;

  constructor(topic: string, hub: AdapterHub, others: Others, listener: ExchangeListener, closed: () => void) {
    this.#topic = topic;
    this.#hub = hub;
    this.#others = others;
    const joined = ({ id }: Member) => listener.joined?.(id);
    const left = ({ id }: Member, how: Departure) => listener.left?.(id, how);
    hub.membership.on('joined', joined).on('left', left);
    this.#close = () => {
      hub.membership.off('joined', joined).off('left', left);
      closed();
    };
  }

  /** Ids of the other servers, as far as they are known now. */
  get others(): string[] {
    return this.#others.ids;
  }

  has(server: string): boolean {
    return this.#hub.membership.has(server);
  }

  /** Tells all of them. @throws BroadcastError through the promise */
  tell(value: unknown): Promise<void> {
    return this.#others.tell('servers.tell', {}, [this.#topic, value]);
  }

  /** Asks all of them, or one. Never rejects: what is missing is a part of the answer. */
  async ask(value: unknown, { timeout, server }: Asking): Promise<Answers> {
    const answers = new Map<string, unknown>();
    const { silent, gone } = await this.#others.ask<[unknown]>({
      kind: 'servers.consult',
      args: [this.#topic, value],
      timeout,
      member: server,
      heard: ([answer], from) => answers.set(from, answer),
    });
    return { answers, missing: [...silent, ...gone] };
  }

  close(): void {
    this.#close();
  }
}
