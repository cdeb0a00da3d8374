/*
 * Leaving without haste: from SIGTERM on nobody is let in, clients are told to come back at different moments, and
 * their sockets are closed in slices within the grace period. The bus is closed after all of it.
 */
import { Inject, Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import type { Server } from 'socket.io';
import { SETTINGS, type Settings } from './settings.js';

/** Pause between two slices, in ms, and the smallest slice. */
const PAUSE = 50;
const SMALLEST_SLICE = 50;
/** Clients are asked to return somewhere in this many ms, so that they do not come back as one wave. */
const SPREAD = 5_000;

@Injectable()
export class DrainService implements BeforeApplicationShutdown {
  readonly #logger = new Logger('Drain');
  readonly #grace: number;
  #draining = false;
  #server?: Server;

  constructor(@Inject(SETTINGS) settings: Settings) {
    this.#grace = settings.SHUTDOWN_GRACE;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** The server whose sockets are to be drained. */
  attach(server: Server): void {
    this.#server = server;
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
  }
}
