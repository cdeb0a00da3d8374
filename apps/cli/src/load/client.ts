/*
 * One client of a load test: in one room, from which it comes back to where it was whenever its line is lost.
 */
import { io, type Socket } from 'socket.io-client';
import type { Ledger, Member } from './ledger.js';

export interface Answer {
  ok: boolean;
  pos?: string;
  id?: string;
  recovered?: boolean;
  missed?: { event: string; data: unknown; pos?: string; id?: string }[];
  error?: { code: string; message: string; retryAfter?: number };
}

export interface ClientOptions {
  url: string;
  room: string;
  event: string;
  auth: Record<string, string>;
  ledger: Ledger;
  /** A message came for the first time. */
  heard: (data: { n: number; at: number }, recovered: boolean) => void;
  counts: { reconnects: number };
}

const PATIENCE = 10_000;
/** Pause before what was refused for now is asked again, in ms, where the gateway does not say. */
const AGAIN = 500;

export class LoadClient {
  readonly room: string;
  readonly #options: ClientOptions;
  readonly #socket: Socket;
  readonly #member: Member;
  #since?: { pos: string; id?: string };
  #in = false;
  #everIn = false;
  #refusal?: string;
  #settled!: { resolve: () => void; reject: (error: Error) => void };
  /** Resolves when it is in its room for the first time. Rejects when it is not let in. */
  readonly entered: Promise<void>;

  constructor(options: ClientOptions) {
    const { url, room, event, auth, ledger } = options;
    this.#options = options;
    this.room = room;
    this.#member = ledger.join(room);
    this.entered = new Promise((resolve, reject) => (this.#settled = { resolve, reject }));
    this.#socket = io(url, { auth, transports: ['websocket'], forceNew: true, reconnectionDelayMax: 2_000 });
    this.#socket.on('connect', () => this.#join());
    this.#socket.on('disconnect', (reason) => {
      this.#in = false;
      if (reason === 'io server disconnect') this.#socket.connect();
    });
    this.#socket.on('connect_error', (error: Error & { data?: { code?: string } }) => this.#refused(error));
    this.#socket.on('room:gap', () => this.#member.gaps++);
    this.#socket.on(event, (data: unknown, meta?: { pos?: string; id?: string }) => this.#hear(data, meta, false));
  }

  /** Whether it can speak now. */
  get isIn(): boolean {
    return this.#in;
  }

  /** Why it was not let in when it last asked: `CODE: sentence`. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  async say(data: unknown, id: string): Promise<Answer> {
    const { event } = this.#options;
    return this.#ask('room:send', { room: this.room, event, data, id });
  }

  close(): void {
    this.#in = false;
    this.#socket.disconnect();
  }

  #join(): void {
    if (this.#everIn) this.#options.counts.reconnects++;
    const request = { room: this.room, ...(this.#since && { since: this.#since }) };
    // In the callback: what comes right after the answer may be handled before a promise of it is.
    this.#socket.timeout(PATIENCE).emit('room:join', request, (late: Error | null, answer: Answer) => {
      if (!late && answer.ok) return this.#enter(answer);
      if (!this.#socket.connected) return;
      const { code = 'TIMEOUT', message = 'no answer to room:join', retryAfter } = answer?.error ?? {};
      this.#refusal = `${code}: ${message}`;
      if (code !== 'UNAVAILABLE' && code !== 'TIMEOUT' && code !== 'RATE_LIMITED' && !this.#everIn) {
        this.#settled.reject(new Error(this.#refusal));
        return this.close();
      }
      setTimeout(() => this.#socket.connected && this.#join(), retryAfter ?? AGAIN).unref();
    });
  }

  #enter({ pos, id, recovered, missed = [] }: Answer): void {
    const { event } = this.#options;
    if (this.#everIn && !recovered) this.#member.gaps++;
    for (const message of missed) if (message.event === event) this.#hear(message.data, message, true);
    if (!recovered && pos !== undefined) this.#since = { pos, id };
    this.#in = this.#everIn = true;
    this.#settled.resolve();
  }

  #hear(data: unknown, meta: { pos?: string; id?: string } | undefined, recovered: boolean): void {
    if (meta?.pos !== undefined) this.#since = { pos: meta.pos, id: meta.id };
    const { n, at } = (data ?? {}) as { n?: unknown; at?: unknown };
    if (typeof n !== 'number' || typeof at !== 'number') return;
    if (this.#options.ledger.received(this.#member, n)) this.#options.heard({ n, at }, recovered);
  }

  #refused({ message, data }: Error & { data?: { code?: string } }): void {
    const code = data?.code;
    if (code !== undefined) this.#refusal = `${code}: ${message}`;
    if (code !== undefined && code !== 'UNAVAILABLE' && !this.#everIn) {
      this.#settled.reject(new Error(this.#refusal));
      return this.close();
    }
    // Socket.IO does not try again where the gateway has said no.
    if (code !== undefined) setTimeout(() => this.#socket.connect(), AGAIN).unref();
  }

  async #ask(request: string, body: object): Promise<Answer> {
    try {
      return (await this.#socket.timeout(PATIENCE).emitWithAck(request, body)) as Answer;
    } catch (error) {
      return { ok: false, error: { code: 'LINE', message: (error as Error).message, retryAfter: AGAIN } };
    }
  }
}
