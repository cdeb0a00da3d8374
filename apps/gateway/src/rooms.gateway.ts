/*
 * The requests of clients: join a room, leave it, say something in it, read what was said. Every one of them is answered.
 */
import { BroadcastAdapter, Bus, looksLikeSocketId, Rooms, type Mark } from '@app/broadcast';
import { UseFilters } from '@nestjs/common';
import {
  Ack,
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  type OnGatewayInit,
} from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { RequestError, RETRY_AFTER } from './answer.js';
import { AnswerFilter } from './answer.filter.js';
import { Entrance } from './entrance.js';
import { check, historyRequest, joinRequest, leaveRequest, sendRequest } from './requests.js';
import { Sessions, type Session, type UserSocket } from './sessions.js';
import { SocketServer } from './socket-server.js';
import { Turns } from './turns.js';

type Answer = (answer: object) => void;

interface Entering {
  room: string;
  since?: Mark;
}

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class RoomsGateway implements OnGatewayInit<Server> {
  readonly #bus: Bus;
  readonly #rooms: Rooms;
  readonly #entrance: Entrance;
  readonly #sessions: Sessions;
  readonly #sockets: SocketServer;
  readonly #turns = new Turns();
  #server!: Server;

  constructor(bus: Bus, rooms: Rooms, entrance: Entrance, sessions: Sessions, sockets: SocketServer) {
    this.#sockets = sockets;
    this.#bus = bus;
    this.#rooms = rooms;
    this.#entrance = entrance;
    this.#sessions = sessions;
  }

  afterInit(server: Server): void {
    this.#server = server;
    this.#sockets.attach(server);
    this.#entrance.attach(server);
    this.#bus.on('gap', (cause, room) => this.#tellGap(cause, room));
  }

  @SubscribeMessage('room:join')
  async join(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown, @Ack() ack?: Answer) {
    const { room, since } = check(joinRequest, body);
    const session = this.#sessions.of(socket);
    this.#entrance.checkJoin(session, room);
    const enter = async () => {
      if (await this.#isPrivate(room)) throw new RequestError('FORBIDDEN', 'that name belongs to a socket');
      if (this.#rooms.keeps(room)) await this.#enterKept(session, { room, since }, ack);
      else await this.#enterLive(session, { room, since }, ack);
    };
    await session.joining(room, () => this.#turns.take(socket, room, enter));
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
    const session = this.#sessions.of(socket);
    session.checkJoined(room);
    const settle = this.#entrance.checkSend(session, room);
    try {
      const published = await this.#rooms.publish({ room, event, data, id, from: socket.data.user });
      settle(true);
      return { ok: true, ...published };
    } catch (error) {
      settle(false);
      throw error;
    }
  }

  @SubscribeMessage('room:history')
  async history(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const request = check(historyRequest, body);
    const { room } = request;
    this.#sessions.of(socket).checkJoined(room);
    if (!this.#rooms.keeps(room)) throw new RequestError('BAD_REQUEST', `room ${room} keeps no history`);
    return { ok: true, ...(await this.#rooms.history(request)) };
  }

  async #enterLive(session: Session, { room, since }: Entering, ack?: Answer): Promise<void> {
    const { socket } = session;
    // It may have been decided while it waited for its turn. From here on whoever decides it finds the socket in the room.
    this.#entrance.checkStay(session, room);
    const wasIn = socket.rooms.has(room);
    await socket.join(room);
    const count = this.#adapter.isHeard(room) ? await this.#adapter.countSockets(room) : 0;
    // Another join of the same socket may have failed meanwhile, and taken it out again.
    if (!this.#adapter.isHeard(room) || !socket.rooms.has(room)) {
      if (!wasIn) await socket.leave(room);
      this.#entrance.checkStay(session, room);
      throw unconfirmed();
    }
    ack?.({ ok: true, room, count, ...(since && { recovered: false, missed: [] }) });
  }

  /** Joins and answers in one turn: what is said in the room from then on comes after the answer, and only there. */
  async #enterKept(session: Session, { room, since }: Entering, ack?: Answer): Promise<void> {
    const { socket } = session;
    const followed = this.#rooms.follow(room);
    try {
      await followed.ready();
      const others = await this.#adapter.countSockets(room);
      const visible = ({ except = [] }: { except?: readonly string[] }) =>
        !except.some((name) => socket.rooms.has(name));
      await this.#rooms.replay({ room, since, visible }, ({ recovered, missed, mark }) => {
        if (!followed.live || !socket.connected) throw unconfirmed();
        // It may have been decided meanwhile that they may not.
        this.#entrance.checkStay(session, room);
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
