/*
 * The way in: who a socket is, whether it may enter, and which of its packets are requests at all.
 */
import { Injectable } from '@nestjs/common';
import type { Server as HttpServer } from 'node:http';
import type { Server } from 'socket.io';
import { AccessService } from './access/access.service.js';
import { isAck, refusalOf, RequestError, RETRY_AFTER } from './answer.js';
import { DrainService } from './drain.service.js';
import { LimitsService } from './limits/limits.service.js';
import { REQUESTS } from './requests.js';
import { Sessions, type Session, type UserSocket } from './sessions.js';

/** How long who was refused may keep the connection, in ms. */
const HANG_UP = 1_000;

@Injectable()
export class Entrance {
  readonly #access: AccessService;
  readonly #drain: DrainService;
  readonly #limits: LimitsService;
  readonly #sessions: Sessions;

  constructor(access: AccessService, drain: DrainService, limits: LimitsService, sessions: Sessions) {
    this.#access = access;
    this.#drain = drain;
    this.#limits = limits;
    this.#sessions = sessions;
  }

  attach(server: Server): void {
    this.#drain.attach(server, server.httpServer as HttpServer);
    server.engine.on('connection', (connection: { close(): void }) => {
      if (server.engine.clientsCount > this.#limits.mostConnections) connection.close();
    });
    server.use((socket: UserSocket, next) => {
      this.#enter(socket).then(
        () => next(),
        (error: unknown) => {
          const { error: data } = refusalOf(error);
          next(Object.assign(new Error(data.message), { data }));
          // Clients of Socket.IO hang up by themselves; others would keep the connection for as long as they like.
          setTimeout(() => socket.conn.close(), HANG_UP).unref();
        },
      );
    });
  }

  /** Whether somebody may join a room. @throws RequestError `FORBIDDEN`, `RATE_LIMITED` */
  checkJoin(session: Session, room: string): void {
    if (!session.identity.rooms.match(room)) {
      throw new RequestError('FORBIDDEN', `you may not join room ${room}: your token does not name it`);
    }
    this.#limits.room(session, room);
  }

  /** Whether somebody may say one more thing in a room. @throws RequestError `FORBIDDEN`, `RATE_LIMITED` */
  checkSend({ identity: { user, publish } }: Session, room: string): void {
    if (!publish.match(room)) {
      throw new RequestError('FORBIDDEN', `you may not send to room ${room}: your token does not allow it`);
    }
    this.#limits.message(user, room);
  }

  /** @throws RequestError through the promise */
  async #enter(socket: UserSocket): Promise<void> {
    if (this.#drain.draining) throw new RequestError('UNAVAILABLE', 'this instance is shutting down', RETRY_AFTER);
    await this.#limits.handshake(socket.handshake);
    const identity = await this.#access.identify(socket.handshake.auth);
    this.#limits.connection(identity.user);
    socket.data.user = identity.user;
    const session = this.#sessions.begin(socket, identity);
    this.#access.watch(session);
    socket.use((packet, proceed) => {
      try {
        this.#checkRequest(session, packet);
      } catch (error) {
        const ack: unknown = packet.at(-1);
        return isAck(ack) ? ack(refusalOf(error)) : undefined;
      }
      proceed();
    });
  }

  /** @throws RequestError */
  #checkRequest(session: Session, [event, body]: unknown[]): void {
    if (event === 'room:join') this.#limits.join(session);
    // As many as were joined: who has come too far must be able to go.
    else if (event !== 'room:leave' || !isIn(session, body)) this.#limits.request(session);
    if (REQUESTS.some((request) => request === event)) return;
    const name = JSON.stringify(String(event).slice(0, 64));
    throw new RequestError('BAD_REQUEST', `unknown request ${name}: expected one of ${REQUESTS.join(', ')}`);
  }
}

function isIn(session: Session, body: unknown): boolean {
  const { room } = (body ?? {}) as { room?: unknown };
  return typeof room === 'string' && session.socket.rooms.has(room);
}
