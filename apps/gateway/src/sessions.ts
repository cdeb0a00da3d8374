/*
 * The sockets of this instance, each with who it is, and the sockets of each user.
 */
import { Injectable } from '@nestjs/common';
import type { Socket } from 'socket.io';
import type { Identity } from './access/tokens.js';
import { RequestError, type AnswerCode } from './answer.js';

export interface UserData {
  user: string;
}

export type UserSocket = Socket<object, Record<string, (data: object) => void>, object, UserData>;

/** Why a socket is taken out of a room: `token`, the new one does not name it; `removed`, by a service. */
export const CLOSED_REASONS = ['banned', 'kicked', 'removed', 'token'] as const;

export interface RoomClosed {
  reason: (typeof CLOSED_REASONS)[number];
  /** For people: what who decided it has said, or what is behind it. */
  message?: string;
  /** When it may come back, in ms. */
  retryAfter?: number;
}

/** Tells a socket that it is out of a room. */
export function tellClosed(
  socket: UserSocket | Socket,
  room: string,
  { reason, message, retryAfter }: RoomClosed,
): void {
  const more = { ...(message !== undefined && { message }), ...(retryAfter !== undefined && { retryAfter }) };
  socket.emit('room:closed', { room, reason, ...more });
}

/** One socket, from its handshake to its end. */
export class Session {
  readonly socket: UserSocket;
  #identity: Identity;
  #identifiedAt = Date.now();
  #gone = false;
  readonly #joining = new Set<string>();
  readonly #onIdentity: (() => void)[] = [];
  readonly #onGone: (() => void)[] = [];

  constructor(socket: UserSocket, identity: Identity) {
    this.socket = socket;
    this.#identity = identity;
    const gone = () => {
      if (this.#gone) return;
      this.#gone = true;
      for (const listener of this.#onGone) listener();
    };
    // Of a connection that ends while it is being let in, the socket itself says nothing.
    socket.conn.once('close', gone);
    socket.once('disconnect', gone);
  }

  get identity(): Identity {
    return this.#identity;
  }

  /** When it was last said who it is, in ms since 1970. */
  get identifiedAt(): number {
    return this.#identifiedAt;
  }

  /** Whether its connection has ended. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Whether it has joined the room. In that of its own id every socket is by itself. */
  hasJoined(room: string): boolean {
    return room !== this.socket.id && this.socket.rooms.has(room);
  }

  /** @throws RequestError `NOT_IN_ROOM` */
  checkJoined(room: string): void {
    if (!this.hasJoined(room)) throw new RequestError('NOT_IN_ROOM', `you are not in room ${room}: join it first`);
  }

  /** Whether it has joined the room, or is about to. */
  isIn(room: string): boolean {
    return this.socket.rooms.has(room) || this.#joining.has(room);
  }

  /** How many rooms it has joined, or is about to. */
  get size(): number {
    return this.socket.rooms.size - (this.socket.rooms.has(this.socket.id) ? 1 : 0) + this.#joining.size;
  }

  /** Notes a room that it is about to join, for as long as that takes. */
  async joining<T>(room: string, join: () => Promise<T>): Promise<T> {
    const isFirst = !this.isIn(room);
    if (isFirst) this.#joining.add(room);
    try {
      return await join();
    } finally {
      if (isFirst) this.#joining.delete(room);
    }
  }

  /** Says again who it is: the same user, with other rights. */
  identify(identity: Identity): void {
    this.#identity = identity;
    this.#identifiedAt = Date.now();
    for (const listener of this.#onIdentity) listener();
  }

  onIdentity(listener: () => void): void {
    this.#onIdentity.push(listener);
  }

  onGone(listener: () => void): void {
    this.#onGone.push(listener);
  }

  /** Says why, and ends the connection. Socket.IO's clients do not come back by themselves then. */
  close(code: AnswerCode, message: string, retryAfter?: number): void {
    this.socket.emit('server:closed', { code, message, ...(retryAfter !== undefined && { retryAfter }) });
    this.socket.disconnect(true);
  }

  /** Says why, and takes the socket out of a room. */
  async expel(room: string, closed: RoomClosed): Promise<void> {
    if (!this.socket.rooms.has(room)) return;
    const left = this.socket.leave(room);
    tellClosed(this.socket, room, closed);
    await left;
  }

  /** The rooms that it has joined: not the one that every socket is in by itself. */
  get rooms(): string[] {
    return [...this.socket.rooms].filter((room) => room !== this.socket.id);
  }
}

@Injectable()
export class Sessions {
  readonly #sessions = new WeakMap<UserSocket, Session>();
  readonly #users = new Map<string, Set<Session>>();
  readonly #connections = new WeakMap<object, Session>();
  #size = 0;

  /** Sockets that have been let in. */
  get size(): number {
    return this.#size;
  }

  begin(socket: UserSocket, identity: Identity): Session {
    const session = new Session(socket, identity);
    const { user } = identity;
    this.#sessions.set(socket, session);
    this.#connections.set(socket.conn, session);
    const all = this.#users.get(user) ?? new Set();
    this.#users.set(user, all.add(session));
    this.#size++;
    session.onGone(() => {
      this.#size--;
      all.delete(session);
      if (all.size === 0) this.#users.delete(user);
    });
    return session;
  }

  /** That of a socket that was let in. */
  of(socket: UserSocket): Session {
    return this.#sessions.get(socket)!;
  }

  /** That of a connection, while it lasts. A client could ask for any number of them. */
  on(connection: object): Session | undefined {
    const session = this.#connections.get(connection);
    return session?.gone ? undefined : session;
  }

  /** Those of one user, on this instance. */
  ofUser(user: string): ReadonlySet<Session> {
    return this.#users.get(user) ?? NOBODY;
  }

  /** Everyone's, on this instance. */
  *all(): Iterable<Session> {
    for (const sessions of this.#users.values()) yield* sessions;
  }
}

const NOBODY: ReadonlySet<Session> = new Set();
