/*
 * Leaving without haste: from SIGTERM on nobody is let in, clients are told to come back at different moments, and
 * their sockets are closed in slices within the grace period. The bus is closed after all of it.
 */
import { Inject, Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import type { Server as HttpServer } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import type { Server } from 'socket.io';
import { SETTINGS, type Settings } from './settings.js';

/** Pause between two slices, in ms, and the smallest slice. */
const PAUSE = 50;
const SMALLEST_SLICE = 50;
/** Time for what is under way on the connections that are left, in ms. */
const LAST_WORDS = 2_000;
/** Clients are asked to return somewhere in this many ms, so that they do not come back as one wave. */
const SPREAD = 5_000;

@Injectable()
export class DrainService implements BeforeApplicationShutdown {
  readonly #logger = new Logger('Drain');
  readonly #grace: number;
  #draining = false;
  readonly #connections = new Set<TcpSocket>();
  #server?: Server;

  constructor(@Inject(SETTINGS) settings: Settings) {
    this.#grace = settings.SHUTDOWN_GRACE;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** The server whose sockets are to be drained. */
  attach(server: Server, http: HttpServer): void {
    this.#server = server;
    http.on('connection', (connection) => {
      this.#connections.add(connection);
      connection.once('close', () => this.#connections.delete(connection));
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#draining = true;
    const sockets = [...(this.#server?.sockets.sockets.values() ?? [])];
    this.#logger.log(`draining ${sockets.length} socket(s)`);
    for (const socket of sockets) {
      socket.emit('server:drain', { retryAfter: Math.floor(Math.random() * SPREAD) });
    }
    const slices = Math.max(1, Math.floor(this.#grace / 2 / PAUSE));
    const slice = Math.max(SMALLEST_SLICE, Math.ceil(sockets.length / slices));
    while (sockets.length > 0) {
      // Not `disconnect()`: a client that is told to disconnect by the server does not come back by itself.
      for (const socket of sockets.splice(0, slice)) socket.conn.close();
      if (sockets.length > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    // Closing an HTTP server waits for every connection: for one that never sends a byte, without end.
    setTimeout(
      () => {
        for (const connection of this.#connections) connection.destroy();
      },
      Math.min(LAST_WORDS, this.#grace),
    );
  }
}
