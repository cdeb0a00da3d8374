/*
 * The request of clients who want to know who is in a room that they are in.
 */
import { UseFilters } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { AnswerFilter } from '../answer.filter.js';
import { check, presenceRequest } from '../requests.js';
import { Sessions, type UserSocket } from '../sessions.js';
import { PresenceService } from './presence.service.js';

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class PresenceGateway {
  readonly #presence: PresenceService;

  readonly #sessions: Sessions;

  constructor(presence: PresenceService, sessions: Sessions) {
    this.#presence = presence;
    this.#sessions = sessions;
  }

  @SubscribeMessage('room:presence')
  async of(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { room } = check(presenceRequest, body);
    this.#sessions.of(socket).checkJoined(room);
    return { ok: true, ...(await this.#presence.of(room)) };
  }
}
