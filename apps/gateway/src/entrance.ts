/*
 * The way in: who a socket is, whether it may enter, and which of its packets are requests at all.
 */
import { Injectable } from '@nestjs/common';
import type { Server as HttpServer } from 'node:http';
import type { Server } from 'socket.io';
import { AccessService } from './access/access.service.js';
import { isAck, refusalOf, RequestError, RETRY_AFTER } from './answer.js';
import { DrainService } from './drain.service.js';
import { REQUESTS } from './requests.js';
import { Sessions, type UserSocket } from './sessions.js';

@Injectable()
export class Entrance {
  readonly #access: AccessService;
  readonly #drain: DrainService;
  readonly #sessions: Sessions;

  constructor(access: AccessService, drain: DrainService, sessions: Sessions) {
    this.#access = access;
    this.#drain = drain;
    this.#sessions = sessions;
  }

  attach(server: Server): void {
    this.#drain.attach(server, server.httpServer as HttpServer);
    server.use((socket: UserSocket, next) => {
      this.#enter(socket).then(
        () => next(),
        (error: unknown) => {
          const { error: data } = refusalOf(error);
          next(Object.assign(new Error(data.message), { data }));
        },
      );
    });
  }

  /** @throws RequestError through the promise */
  async #enter(socket: UserSocket): Promise<void> {
    if (this.#drain.draining) throw new RequestError('UNAVAILABLE', 'this instance is shutting down', RETRY_AFTER);
    const identity = await this.#access.identify(socket.handshake.auth);
    socket.data.user = identity.user;
    const session = this.#sessions.begin(socket, identity);
    this.#access.watch(session);
    socket.use((packet, proceed) => {
      try {
        this.#checkRequest(packet);
      } catch (error) {
        const ack: unknown = packet.at(-1);
        return isAck(ack) ? ack(refusalOf(error)) : undefined;
      }
      proceed();
    });
  }

  /** @throws RequestError */
  #checkRequest([event]: unknown[]): void {
    if (REQUESTS.some((request) => request === event)) return;
    const name = JSON.stringify(String(event).slice(0, 64));
    throw new RequestError('BAD_REQUEST', `unknown request ${name}: expected one of ${REQUESTS.join(', ')}`);
  }
}
