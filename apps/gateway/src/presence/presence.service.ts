/*
 * Who is in rooms, as this gateway's sockets come and go: tells those in a room about it, says it to who asks, and takes
 * somebody out of a room on every instance.
 */
import { Bus, Presence, profileOf, type Exchange, type RoomPresence } from '@app/broadcast';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Server, Socket } from 'socket.io';
import { RequestError, RETRY_AFTER } from '../answer.js';
import { tellClosed } from '../sessions.js';
import { SETTINGS, type Settings } from '../settings.js';
import { SocketServer } from '../socket-server.js';

/** How long other instances have to take somebody out of a room, in ms. */
const REMOVE_TIMEOUT = 2_000;
/** The ends of a connection after which nobody is expected to come back: the server's own decision. */
const DECIDED = 'server namespace disconnect';

@Injectable()
export class PresenceService implements OnApplicationShutdown {
  readonly #bus: Bus;
  readonly #sockets: SocketServer;
  readonly #settings: Settings;
  #presence!: Presence;
  #removals!: Exchange;
  /** Sockets whose connection is lost, while they leave their rooms. */
  readonly #lost = new Set<string>();

  constructor(bus: Bus, sockets: SocketServer, @Inject(SETTINGS) settings: Settings) {
    this.#bus = bus;
    this.#sockets = sockets;
    this.#settings = settings;
    sockets.onAttached((server) => this.#attach(server));
  }

  /** Never rejects: what is missing is told by `complete`. */
  of(room: string): Promise<RoomPresence> {
    return this.#presence.of(room);
  }

  /**
   * Takes a user out of a room, on all instances.
   *
   * @returns how many sockets have left it
   * @throws RequestError through the promise: `NOT_FOUND`, `UNAVAILABLE` when not all instances have answered
   */
  async remove(room: string, user: string): Promise<number> {
    const here = this.#removeHere(room, user);
    const { answers, missing } = await this.#removals.ask([room, user], { timeout: REMOVE_TIMEOUT });
    const all = [here, ...[...answers.values()].map(readRemoved)];
    if (missing.length > 0) {
      const why = `${missing.length} other instance(s) did not answer: ${user} may still be in room ${room}`;
      throw new RequestError('UNAVAILABLE', `${why}; try again`, RETRY_AFTER);
    }
    if (!all.some(({ found }) => found)) throw new RequestError('NOT_FOUND', `${user} is not in room ${room}`);
    return all.reduce((sum, { sockets }) => sum + sockets, 0);
  }

  onApplicationShutdown(): void {
    this.#presence?.close();
    this.#removals?.close();
  }

  #attach(server: Server): void {
    const { adapter } = this.#sockets;
    const { ROOM_PROFILES, PRESENCE_THRESHOLD } = this.#settings;
    this.#presence = new Presence({
      open: (listener) => adapter.exchange('presence', listener),
      push: (room, change) => server.local.to(room).emit('room:presence', { room, ...change }),
      threshold: (room) => profileOf(room, ROOM_PROFILES)?.presence?.threshold ?? PRESENCE_THRESHOLD,
      connected: () => this.#bus.state === 'up',
    });
    this.#removals = adapter.exchange('presence.remove', {
      asked: (value) => {
        const [room, user] = Array.isArray(value) ? (value as unknown[]) : [];
        return this.#removeHere(String(room), String(user));
      },
    });
    this.#bus.on('state', (state) => state === 'up' && this.#presence.resync());
    adapter.on('join-room', (room: string, id: string) => {
      const user = userOf(server, id);
      if (room !== id && user !== undefined) this.#presence.enter(room, user, id);
    });
    adapter.on('leave-room', (room: string, id: string) => {
      const user = userOf(server, id);
      if (room !== id && user !== undefined) this.#presence.leave(room, user, id, this.#lost.has(id));
    });
    server.on('connection', (socket: Socket) => {
      socket.once('disconnecting', (reason) => reason !== DECIDED && this.#lost.add(socket.id));
      socket.once('disconnect', () => this.#lost.delete(socket.id));
    });
  }

  #removeHere(room: string, user: string): Removed {
    const found = this.#presence.dismiss(room, user);
    let sockets = 0;
    for (const id of found ?? []) {
      const socket = this.#sockets.server.sockets.sockets.get(id);
      if (!socket) continue;
      void socket.leave(room);
      tellClosed(socket, room, { reason: 'removed', message: 'you were taken out of the room' });
      sockets++;
    }
    return { found: found !== undefined, sockets };
  }
}

interface Removed {
  found: boolean;
  sockets: number;
}

function readRemoved(value: unknown): Removed {
  const { found, sockets } = (value ?? {}) as Partial<Removed>;
  return { found: found === true, sockets: typeof sockets === 'number' ? sockets : 0 };
}

function userOf(server: Server, socket: string): string | undefined {
  return (server.sockets.sockets.get(socket)?.data as { user?: string } | undefined)?.user;
}
