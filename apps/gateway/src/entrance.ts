/*
 * The way in: who a socket is, whether it may enter, and which of its packets are requests at all.
 */
import { Injectable, Logger } from '@nestjs/common';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Server, Socket } from 'socket.io';
import { AccessService } from './access/access.service.js';
import { guarded, isAck, refusalOf, RequestError } from './answer.js';
import { DrainService } from './drain.service.js';
import { LimitsService } from './limits/limits.service.js';
import { ModerationService, type Settle } from './moderation/moderation.service.js';
import { REQUESTS } from './requests.js';
import { Sessions, type Session, type UserSocket } from './sessions.js';

/** How long a connection may stay without asking to be let in, in ms. */
export const CONNECT_TIMEOUT = 10_000;
/** How long a client may take to say goodbye too, in ms. By itself a websocket waits for 30 s. */
const GOODBYE = 2_000;
/** How long who was refused may keep the connection, in ms. */
const HANG_UP = 1_000;

type EngineSocket = Socket['conn'];

/** What is under a connection on a websocket. */
interface WebSocket {
  terminate(): void;
}

@Injectable()
export class Entrance {
  readonly #logger = new Logger('Entrance');
  readonly #access: AccessService;
  readonly #drain: DrainService;
  readonly #limits: LimitsService;
  readonly #moderation: ModerationService;
  readonly #sessions: Sessions;

  constructor(
    access: AccessService,
    drain: DrainService,
    limits: LimitsService,
    moderation: ModerationService,
    sessions: Sessions,
  ) {
    this.#moderation = moderation;
    this.#access = access;
    this.#drain = drain;
    this.#limits = limits;
    this.#sessions = sessions;
  }

  attach(server: Server): void {
    this.#drain.attach(server, server.httpServer as HttpServer);
    server.engine.use(refuseMethods);
    server.engine.on('connection', (connection: EngineSocket) => {
      if (server.engine.clientsCount > this.#limits.mostConnections) connection.close();
      setTimeout(() => connection.readyState === 'open' || terminate(connection), CONNECT_TIMEOUT + GOODBYE).unref();
    });
    server.use((socket: UserSocket, next) => {
      this.#enter(socket).then(
        () => next(),
        (error: unknown) => {
          const { error: data } = refusalOf(error);
          next(Object.assign(new Error(data.message), { data }));
          // Clients of Socket.IO hang up by themselves; others would keep the connection for as long as they like.
          setTimeout(() => socket.conn.close(), HANG_UP).unref();
          setTimeout(() => terminate(socket.conn), HANG_UP + GOODBYE).unref();
        },
      );
    });
  }

  /** Whether somebody may join one more room. @throws RequestError `FORBIDDEN`, `RATE_LIMITED` */
  checkJoin(session: Session, room: string): void {
    this.checkStay(session, room);
    this.#limits.room(session, room);
  }

  /** Whether somebody may be in a room. @throws RequestError `FORBIDDEN` */
  checkStay({ identity: { user, rooms } }: Session, room: string): void {
    if (!rooms.match(room)) {
      throw new RequestError('FORBIDDEN', `you may not join room ${room}: your token does not name it`);
    }
    this.#moderation.checkBan(user, room);
  }

  /**
   * Whether somebody may say one more thing in a room. What it returns is to be told whether that was said.
   *
   * @throws RequestError `FORBIDDEN`, `RATE_LIMITED`
   */
  checkSend(session: Session, room: string): Settle {
    const { user, publish } = session.identity;
    if (!publish.match(room)) {
      throw new RequestError('FORBIDDEN', `you may not send to room ${room}: your token does not allow it`);
    }
    const settle = this.#moderation.checkSend(session, room);
    try {
      this.#limits.message(user, room);
    } catch (error) {
      settle(false);
      throw error;
    }
    return settle;
  }

  /** @throws RequestError through the promise */
  async #enter(socket: UserSocket): Promise<void> {
    await this.#limits.handshake(socket.handshake);
    const identity = await this.#access.identify(socket.handshake.auth);
    this.#moderation.checkBan(identity.user);
    this.#limits.connection(identity.user);
    if (this.#sessions.on(socket.conn)) throw new RequestError('BAD_REQUEST', 'this connection is let in already');
    // It says nothing more by which its session would end.
    if (socket.conn.readyState === 'closed') throw new RequestError('UNAVAILABLE', 'the connection has ended');
    socket.data.user = identity.user;
    const session = this.#sessions.begin(socket, identity);
    this.#access.watch(session);
    socket.use((packet, proceed) => {
      const ack: unknown = packet.at(-1);
      try {
        this.#checkRequest(session, packet);
      } catch (error) {
        return isAck(ack) ? ack(refusalOf(error)) : undefined;
      }
      if (isAck(ack)) packet[packet.length - 1] = guarded(ack, (error) => this.#logger.error(error));
      proceed();
    });
  }

  /** @throws RequestError */
  #checkRequest(session: Session, [event, body]: unknown[]): void {
    if (event === 'room:join') this.#limits.join(session);
    // As many as were joined: who has come too far must be able to go.
    else if (event !== 'room:leave' || !isIn(session, body)) this.#limits.request(session);
    if (REQUESTS.some((request) => request === event)) return;
    // Socket.IO lets a packet without arguments through: the first is then the way to answer.
    const name = isAck(event) ? 'without a name' : JSON.stringify(String(event).slice(0, 64));
    throw new RequestError('BAD_REQUEST', `unknown request ${name}: expected one of ${REQUESTS.join(', ')}`);
  }
}

/** Engine.IO answers 500, and nothing more, to a method that no client of it has: nothing has failed here. */
function refuseMethods({ method = '' }: IncomingMessage, response: ServerResponse, next: () => void): void {
  if (['GET', 'POST', 'OPTIONS'].includes(method)) return next();
  const { error } = refusalOf(new RequestError('BAD_REQUEST', 'expected GET or POST'));
  response.writeHead(400, { 'Content-Type': 'application/json; charset=utf-8' }).end(JSON.stringify({ error }));
}

function isIn(session: Session, body: unknown): boolean {
  const { room } = (body ?? {}) as { room?: unknown };
  return typeof room === 'string' && session.hasJoined(room);
}

function terminate({ transport }: EngineSocket): void {
  (transport as { socket?: Partial<WebSocket> }).socket?.terminate?.();
}
