/*
 * The rooms that somebody is in, on all instances, in pages: each instance is asked for no more than one page holds.
 */
import type { Exchange } from '@app/broadcast';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { SocketServer } from '../socket-server.js';

export interface PageRequest {
  /** The last room of the page before. @default from the beginning */
  after?: string;
  limit: number;
}

export interface Page {
  /** In the order of their names. */
  rooms: { room: string; sockets: number }[];
  /** What to ask for the next page `after`; left out where this is the last. */
  next?: string;
  /** Whether every instance has answered. */
  complete: boolean;
}

/** How long the other instances have to answer, in ms. */
const TIMEOUT = 1_000;

type Counted = [room: string, sockets: number];

@Injectable()
export class Directory implements OnApplicationShutdown {
  readonly #sockets: SocketServer;
  #exchange!: Exchange;

  constructor(sockets: SocketServer) {
    this.#sockets = sockets;
    sockets.onAttached(() => {
      this.#exchange = sockets.adapter.exchange('rooms.page', {
        asked: (value) => {
          const { after = '', limit = 0 } = (value ?? {}) as Partial<PageRequest>;
          return this.#here(String(after), Number(limit));
        },
      });
    });
  }

  /** Never rejects: that an instance has not answered is a part of the page. */
  async page({ after = '', limit }: PageRequest): Promise<Page> {
    // One more than a page, to see whether another follows.
    const { answers, missing } = await this.#exchange.ask({ after, limit: limit + 1 }, { timeout: TIMEOUT });
    const counts = new Map<string, number>();
    for (const page of [this.#here(after, limit + 1), ...answers.values()]) {
      for (const [room, sockets] of isPage(page) ? page : []) counts.set(room, (counts.get(room) ?? 0) + sockets);
    }
    const all = [...counts.keys()].sort(inOrder);
    const rooms = all.slice(0, limit).map((room) => ({ room, sockets: counts.get(room)! }));
    return { rooms, ...(all.length > limit && { next: rooms.at(-1)!.room }), complete: missing.length === 0 };
  }

  onApplicationShutdown(): void {
    this.#exchange?.close();
  }

  #here(after: string, limit: number): Counted[] {
    const later = this.#sockets.adapter.stats().filter(([room]) => room > after);
    return later.sort(([one], [other]) => inOrder(one, other)).slice(0, limit);
  }
}

/** As `>` does, so that `after` means the same. */
function inOrder(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function isPage(value: unknown): value is Counted[] {
  const isCounted = (pair: unknown) =>
    Array.isArray(pair) && typeof pair[0] === 'string' && Number.isSafeInteger(pair[1]);
  return Array.isArray(value) && value.every(isCounted);
}
