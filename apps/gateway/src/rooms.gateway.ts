/*
 * The requests of clients: join a room, leave it, say something in it. Every one of them is answered.
 */
import { BroadcastAdapter, Bus, looksLikeSocketId, Rooms } from '@app/broadcast';
import { Inject, UseFilters } from '@nestjs/common';
import {
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
import { check, joinRequest, leaveRequest, REQUESTS, sendRequest, userName } from './requests.js';
import { SETTINGS, type Settings } from './settings.js';

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
    this.#bus.on('gap', (cause) => this.#tellGap(cause));
  }

  @SubscribeMessage('room:join')
  async join(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room } = check(joinRequest, body);
    if (await this.#isPrivate(room)) throw new RequestError('FORBIDDEN', 'that name belongs to a socket');
    const wasIn = socket.rooms.has(room);
    await socket.join(room);
    // Another join of the same socket may have failed meanwhile, and taken it out again.
    if (!this.#adapter.isHeard(room) || !socket.rooms.has(room)) {
      if (!wasIn) await socket.leave(room);
      throw new RequestError('UNAVAILABLE', 'the broker does not confirm the room now: try again', RETRY_AFTER);
    }
    return { ok: true, room, count: await this.#adapter.countSockets(room) };
  }

  @SubscribeMessage('room:leave')
  async leave(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room } = check(leaveRequest, body);
    if (room !== socket.id) await socket.leave(room);
    return { ok: true };
  }

  @SubscribeMessage('room:send')
  async send(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room, event, data, id } = check(sendRequest, body);
    if (room === socket.id || !socket.rooms.has(room)) {
      throw new RequestError('NOT_IN_ROOM', `you are not in room ${room}: join it first`);
    }
    const published = await this.#rooms.publish({ room, event, data, id, from: socket.data.user });
    return { ok: true, id: published.id };
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
  #tellGap(cause: Error): void {
    for (const room of this.#adapter.rooms.keys()) {
      if (this.#adapter.sids.has(room)) continue;
      this.#server.local.to(room).emit('room:gap', { room, reason: cause.message });
    }
  }

  get #adapter(): BroadcastAdapter {
    return this.#server.of('/').adapter as BroadcastAdapter;
  }
}
