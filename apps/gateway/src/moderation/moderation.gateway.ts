/*
 * The requests of moderators: those whose token lets them moderate the room, or everywhere.
 */
import { UseFilters } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { AnswerFilter } from '../answer.filter.js';
import { RequestError } from '../answer.js';
import { check } from '../requests.js';
import { Sessions, type UserSocket } from '../sessions.js';
import { ModerationService } from './moderation.service.js';
import { kickRequest, restrictionsRequest, restrictRequest, slowRequest, subject } from './requests.js';

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class ModerationGateway {
  readonly #moderation: ModerationService;
  readonly #sessions: Sessions;

  constructor(moderation: ModerationService, sessions: Sessions) {
    this.#moderation = moderation;
    this.#sessions = sessions;
  }

  @SubscribeMessage('room:mute')
  mute(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    return this.#restrict('mute', socket, body);
  }

  @SubscribeMessage('room:unmute')
  unmute(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    return this.#lift('mute', socket, body);
  }

  @SubscribeMessage('room:ban')
  ban(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    return this.#restrict('ban', socket, body);
  }

  @SubscribeMessage('room:unban')
  unban(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    return this.#lift('ban', socket, body);
  }

  @SubscribeMessage('room:kick')
  async kick(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const request = check(kickRequest, body);
    await this.#moderation.kick({ ...request, by: this.#moderator(socket, request.room) });
    return { ok: true };
  }

  @SubscribeMessage('room:slow')
  async slow(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const request = check(slowRequest, body);
    const interval = await this.#moderation.slow(request, this.#moderator(socket, request.room));
    return { ok: true, interval };
  }

  @SubscribeMessage('room:restrictions')
  list(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { limit, ...filter } = check(restrictionsRequest, body);
    this.#moderator(socket, filter.room);
    return { ok: true, restrictions: this.#moderation.list(filter, limit) };
  }

  async #restrict(kind: 'mute' | 'ban', socket: UserSocket, body: unknown) {
    const request = check(restrictRequest, body);
    const restriction = await this.#moderation.restrict(kind, request, this.#moderator(socket, request.room));
    return { ok: true, restriction };
  }

  async #lift(kind: 'mute' | 'ban', socket: UserSocket, body: unknown) {
    const about = check(subject, body);
    return { ok: true, lifted: await this.#moderation.lift(kind, about, this.#moderator(socket, about.room)) };
  }

  /** Who asks. @throws RequestError `FORBIDDEN` */
  #moderator(socket: UserSocket, room: string | undefined): string {
    const { user, moderate } = this.#sessions.of(socket).identity;
    if (room === undefined ? moderate.all : moderate.match(room)) return user;
    const where = room === undefined ? 'everywhere' : `room ${room}`;
    throw new RequestError('FORBIDDEN', `you may not moderate ${where}: your token does not allow it`);
  }
}
