/*
 * File descriptors: each connection takes one, and when they are used up nothing else can be opened either, the link to
 * the broker included. So some are kept back from the clients, who are refused before it comes to that.
 */
import { Injectable, Logger } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';

/** Kept back for links to the broker, files and lookups. */
const KEPT_BACK = 64;
/** Of a process that may have few of them altogether: so much of them. */
const MOST_KEPT_BACK = 0.5;
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
    server.maxConnections = Math.max(1, limit - Math.ceil(Math.min(KEPT_BACK, limit * MOST_KEPT_BACK)));
    server.on('drop', () => {
      this.#refused++;
      if (performance.now() - this.#toldAt < REPORT_INTERVAL) return;
      this.#toldAt = performance.now();
      const why = `this process may have ${limit} files open, of which clients may take ${server.maxConnections}`;
      this.#logger.error(`connections are refused: ${why}. Raise the limit (ulimit -n), or run more instances.`);
    });
  }
}

/** How many files this process may have open; `undefined` where the system does not say, or sets no limit. */
function openFilesLimit(): number | undefined {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}
