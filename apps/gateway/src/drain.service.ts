/*
 * Leaving without haste. From SIGTERM on the instance is not ready; for a moment it takes clients all the same, until
 * balancers have seen that; then nobody is let in, and those who are here leave one after the other, in an
 * order left to chance: each is told when to come back elsewhere, and is sent away then if it is still here. The bus is closed after all of it.
 */
import { Inject, Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server, Socket } from 'socket.io';
import { SETTINGS, type Settings } from './settings.js';

/** Time between two slices, in ms. */
const TICK = 50;
/** So few in a second are no wave, whatever the share that they are, in clients. */
const TRICKLE = 20;
/** Part of the grace period in which clients leave: what is under way, and the bus, have the rest. */
const PATIENCE = 0.8;
/** Time for what is under way on the connections that are left, in ms. */
const LAST_WORDS = 2_000;

@Injectable()
export class DrainService implements BeforeApplicationShutdown {
  readonly #logger = new Logger('Drain');
  readonly #grace: number;
  readonly #delay: number;
  readonly #share: number;
  #draining = false;
  #isShut = false;
  #refused = 0;
  readonly #connections = new Set<TcpSocket>();
  #server?: Server;

  constructor(@Inject(SETTINGS) settings: Settings) {
    this.#grace = settings.SHUTDOWN_GRACE;
    this.#delay = Math.min(settings.DRAIN_DELAY, this.#grace / 2);
    this.#share = settings.DRAIN_SHARE;
  }

  /** Whether the instance is on its way out: not ready, though it may still let somebody in. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Handshakes that were refused since the instance is on its way out. */
  get refused(): number {
    return this.#refused;
  }

  /** The server whose sockets are to be drained. */
  attach(server: Server, http: HttpServer): void {
    this.#server = server;
    http.on('connection', (connection) => {
      this.#connections.add(connection);
      connection.once('close', () => this.#connections.delete(connection));
    });
    server.engine.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
      // Not by an error of Socket.IO's, which its clients take for final: this one they try again, elsewhere.
      if (this.#isShut && !new URL(request.url ?? '', 'http://localhost').searchParams.has('sid')) {
        this.#refused++;
        response.writeHead(503, { 'retry-after': '1', connection: 'close' });
        response.end();
      } else next();
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    const until = performance.now() + this.#grace * PATIENCE;
    this.#draining = true;
    if (this.#delay > 0) await sleep(this.#delay);
    this.#isShut = true;
    await this.#sendAway(until - performance.now());
    // Closing an HTTP server waits for every connection: for one that never sends a byte, without end.
    setTimeout(
      () => {
        for (const connection of this.#connections) connection.destroy();
      },
      Math.min(LAST_WORDS, this.#grace),
    ).unref();
  }

  /** At an even pace, within `most` ms. */
  async #sendAway(most: number): Promise<void> {
    const sockets = shuffle(this.#sockets());
    const end = performance.now() + most;
    const pace = Math.max(TRICKLE, sockets.length * this.#share, sockets.length / (Math.max(most, TICK) / 1_000));
    this.#logger.log(`draining ${sockets.length} socket(s), ${Math.ceil(pace)} a second`);
    sockets.forEach((socket, place) => {
      socket.emit('server:drain', { retryAfter: Math.floor((place / pace) * 1_000) });
    });
    let last = performance.now();
    for (let due = 0; sockets.length > 0;) {
      await sleep(TICK);
      const now = performance.now();
      // A process that was held up does not make up for it with a wave, unless it is at the end of its time.
      due += (Math.min(now - last, 2 * TICK) / 1_000) * pace;
      last = now;
      const slice = now < end ? Math.floor(due) : sockets.length;
      due -= slice;
      // Not `disconnect()`: a client that is told to disconnect by the server does not come back by itself.
      for (const socket of sockets.splice(0, slice)) socket.conn.close();
    }
    // Who was at the door when it was shut, and who never came in.
    for (const client of this.#clients()) client.close();
  }

  /** Connections, also those without a socket. */
  #clients(): { close(): void }[] {
    return Object.values(
      (this.#server?.engine as { clients?: Record<string, { close(): void }> } | undefined)?.clients ?? {},
    );
  }

  #sockets(): Socket[] {
    return [...(this.#server?.sockets.sockets.values() ?? [])];
  }
}

function shuffle<T>(list: T[]): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
  return list;
}
