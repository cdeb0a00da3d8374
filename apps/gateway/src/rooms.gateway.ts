/*
 * The requests of clients: join a room, leave it, say something in it, read what was said. Every one of them is answered.
 */
import { BroadcastAdapter, Bus, looksLikeSocketId, Rooms, type Mark } from '@app/broadcast';
import { Inject, UseFilters } from '@nestjs/common';
import {
  Ack,
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  type OnGatewayInit,
} from '@nestjs/websockets';
import { randomBytes } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import type { Server, Socket } from 'socket.io';
import { isAck, refusalOf, RequestError, RETRY_AFTER } from './answer.js';
import { AnswerFilter } from './answer.filter.js';
import { DrainService } from './drain.service.js';
import { check, historyRequest, joinRequest, leaveRequest, REQUESTS, sendRequest, userName } from './requests.js';
import { SETTINGS, type Settings } from './settings.js';
import { Turns } from './turns.js';

type Answer = (answer: object) => void;

interface UserData {
  user: string;
}

type UserSocket = Socket<object, object, object, UserData>;

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class RoomsGateway implements OnGatewayInit<Server> {
  readonly #bus: Bus;
  readonly #rooms: Rooms;
  readonly #drain: DrainService;
  readonly #anonymous: boolean;
  readonly #turns = new Turns();
  #server!: Server;

  constructor(bus: Bus, rooms: Rooms, drain: DrainService, @Inject(SETTINGS) settings: Settings) {
    this.#bus = bus;
    this.#rooms = rooms;
    this.#drain = drain;
    this.#anonymous = settings.AUTH_ANONYMOUS;
  }

  afterInit(server: Server): void {
    this.#server = server;
    this.#drain.attach(server, server.httpServer as HttpServer);
    server.use((socket: UserSocket, next) => {
      try {
        socket.data.user = this.#identify(socket);
        socket.use((packet, proceed) => this.#refuseUnknown(packet, proceed));
        next();
      } catch (error) {
        const { code, message } = refusalOf(error).error;
        next(Object.assign(new Error(message), { data: { code, message } }));
      }
    });
    this.#bus.on('gap', (cause, room) => this.#tellGap(cause, room));
  }

  @SubscribeMessage('room:join')
  async join(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown, @Ack() ack?: Answer) {
    const request = check(joinRequest, body);
    return this.#turns.take(socket, request.room, () => this.#enter(socket, request, ack));
  }

  async #enter(socket: UserSocket, { room, since }: { room: string; since?: Mark }, ack?: Answer): Promise<void> {
    if (await this.#isPrivate(room)) throw new RequestError('FORBIDDEN', 'that name belongs to a socket');
    if (this.#rooms.keeps(room)) return this.#enterKept(socket, { room, since }, ack);
    const wasIn = socket.rooms.has(room);
    await socket.join(room);
    // Another join of the same socket may have failed meanwhile, and taken it out again.
    if (!this.#adapter.isHeard(room) || !socket.rooms.has(room)) {
      if (!wasIn) await socket.leave(room);
      throw unconfirmed();
    }
    const count = await this.#adapter.countSockets(room);
    ack?.({ ok: true, room, count, ...(since && { recovered: false, missed: [] }) });
  }

  @SubscribeMessage('room:leave')
  async leave(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room } = check(leaveRequest, body);
    await this.#turns.take(socket, room, async () => (room !== socket.id ? socket.leave(room) : undefined));
    return { ok: true };
  }

  @SubscribeMessage('room:send')
  async send(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room, event, data, id } = check(sendRequest, body);
    if (room === socket.id || !socket.rooms.has(room)) {
      throw new RequestError('NOT_IN_ROOM', `you are not in room ${room}: join it first`);
    }
    const published = await this.#rooms.publish({ room, event, data, id, from: socket.data.user });
    return { ok: true, ...published };
  }

  @SubscribeMessage('room:history')
  async history(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const request = check(historyRequest, body);
    const { room } = request;
    if (room === socket.id || !socket.rooms.has(room)) {
      throw new RequestError('NOT_IN_ROOM', `you are not in room ${room}: join it first`);
    }
    if (!this.#rooms.keeps(room)) throw new RequestError('BAD_REQUEST', `room ${room} keeps no history`);
    return { ok: true, ...(await this.#rooms.history(request)) };
  }

  /** Joins and answers in one turn: what is said in the room from then on comes after the answer, and only there. */
  async #enterKept(socket: UserSocket, { room, since }: { room: string; since?: Mark }, ack?: Answer): Promise<void> {
    const followed = this.#rooms.follow(room);
    try {
      await followed.ready();
      const others = await this.#adapter.countSockets(room);
      const visible = ({ except = [] }: { except?: readonly string[] }) =>
        !except.some((name) => socket.rooms.has(name));
      await this.#rooms.replay({ room, since, visible }, ({ recovered, missed, mark }) => {
        if (!followed.live || !socket.connected) throw unconfirmed();
        const count = others + (socket.rooms.has(room) ? 0 : 1);
        void socket.join(room);
        ack?.({ ok: true, room, ...mark, count, ...(since && { recovered, missed }) });
      });
    } finally {
      followed.close();
    }
  }

  /** Whether the name is a socket's id, on any instance: who joins it would hear what is meant for that socket alone. */
  async #isPrivate(room: string): Promise<boolean> {
    if (this.#adapter.sids.has(room)) return true;
    if (!looksLikeSocketId(room)) return false;
    try {
      return (await this.#server.in(room).fetchSockets()).some(({ id }) => id === room);
    } catch {
      throw new RequestError('UNAVAILABLE', 'another instance does not answer now: try again', RETRY_AFTER);
    }
  }

  /** @throws RequestError */
  #identify({ handshake }: UserSocket): string {
    if (this.#drain.draining) throw new RequestError('UNAVAILABLE', 'this instance is shutting down', RETRY_AFTER);
    if (!this.#anonymous) throw new RequestError('UNAUTHENTICATED', 'anonymous access is off here');
    const user: unknown = handshake.auth['user'];
    return user === undefined ? `guest-${randomBytes(4).toString('hex')}` : check(userName, user, 'auth.user');
  }

  #refuseUnknown([event, ...args]: unknown[], proceed: () => void): void {
    if (REQUESTS.some((request) => request === event)) return proceed();
    const ack = args.at(-1);
    const problem = `unknown request ${JSON.stringify(String(event).slice(0, 64))}: expected one of ${REQUESTS.join(', ')}`;
    if (isAck(ack)) ack(refusalOf(new RequestError('BAD_REQUEST', problem)));
  }

  /** What was said in rooms without history while the link was down is lost, and everyone in them is told. */
  #tellGap({ message: reason }: Error, inRoom?: string): void {
    const rooms =
      inRoom === undefined ? [...this.#adapter.rooms.keys()].filter((room) => this.#isLive(room)) : [inRoom];
    for (const room of rooms) this.#server.local.to(room).emit('room:gap', { room, reason });
  }

  #isLive(room: string): boolean {
    return !this.#adapter.sids.has(room) && !this.#rooms.keeps(room);
  }

  get #adapter(): BroadcastAdapter {
    return this.#server.of('/').adapter as BroadcastAdapter;
  }
}

function unconfirmed(): RequestError {
  return new RequestError('UNAVAILABLE', 'the broker does not confirm the room now: try again', RETRY_AFTER);
}
