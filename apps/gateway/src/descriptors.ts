/*
 * File descriptors: each connection takes one, and when they are used up nothing else can be opened either, the link to
 * the broker included. So some are kept back from the clients, who are refused before it comes to that.
 */
import { Injectable, Logger } from '@nestjs/common';
import type { Server } from 'node:http';
import { openFilesLimit } from '../../observability/src/open-files.js';

/** Kept back for links to the broker, files and lookups. A process has more than this, or does not start. */
const KEPT_BACK = 64;
const REPORT_INTERVAL = 60_000;

@Injectable()
export class Descriptors {
  readonly #logger = new Logger('Descriptors');
  #refused = 0;
  #toldAt = -Infinity;

  /** Connections that were closed at once, since they would have taken the last descriptors. */
  get refused(): number {
    return this.#refused;
  }

  /** Has a server take as many connections as there are descriptors to spare. */
  guard(server: Server): void {
    const limit = openFilesLimit();
    if (limit === undefined) return;
    server.maxConnections = Math.max(1, limit - KEPT_BACK);
    server.on('drop', () => {
      this.#refused++;
      if (performance.now() - this.#toldAt < REPORT_INTERVAL) return;
      this.#toldAt = performance.now();
      const why = `this process may have ${limit} files open, of which clients may take ${server.maxConnections}`;
      this.#logger.error(`connections are refused: ${why}. Raise the limit (ulimit -n), or run more instances.`);
    });
  }
}
