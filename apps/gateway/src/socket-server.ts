/*
 * The Socket.IO server, for those beside the gateways who have something to do with sockets.
 */
import { BroadcastAdapter } from '@app/broadcast';
import { Injectable } from '@nestjs/common';
import type { Server } from 'socket.io';

@Injectable()
export class SocketServer {
  #server?: Server;
  #waiting: ((server: Server) => void)[] = [];

  attach(server: Server): void {
    this.#server = server;
    for (const listener of this.#waiting.splice(0)) listener(server);
  }

  /** Calls back with the server, as soon as there is one. */
  onAttached(listener: (server: Server) => void): void {
    if (this.#server) listener(this.#server);
    else this.#waiting.push(listener);
  }

  /** It is there before anything listens. */
  get server(): Server {
    return this.#server!;
  }

  /** That of the main namespace. */
  get adapter(): BroadcastAdapter {
    return this.server.of('/').adapter as BroadcastAdapter;
  }
}
