/*
 * The request of clients who want to know who is in a room that they are in.
 */
import { UseFilters } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import type { Socket } from 'socket.io';
import { RequestError } from '../answer.js';
import { AnswerFilter } from '../answer.filter.js';
import { check, presenceRequest } from '../requests.js';
import { PresenceService } from './presence.service.js';

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class PresenceGateway {
  readonly #presence: PresenceService;

  constructor(presence: PresenceService) {
    this.#presence = presence;
  }

  @SubscribeMessage('room:presence')
  async of(@ConnectedSocket() socket: Socket, @MessageBody() body: unknown) {
    const { room } = check(presenceRequest, body);
    if (room === socket.id || !socket.rooms.has(room)) {
      throw new RequestError('NOT_IN_ROOM', `you are not in room ${room}: join it first`);
    }
    return { ok: true, ...(await this.#presence.of(room)) };
  }
}
