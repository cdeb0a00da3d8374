/*
 * The request of clients whose token ends: a fresh one, in the place of the one before.
 */
import { UseFilters } from '@nestjs/common';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { AnswerFilter } from '../answer.filter.js';
import { check, renewRequest } from '../requests.js';
import { Sessions, type UserSocket } from '../sessions.js';
import { AccessService } from './access.service.js';

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class AccessGateway {
  readonly #access: AccessService;
  readonly #sessions: Sessions;

  constructor(access: AccessService, sessions: Sessions) {
    this.#access = access;
    this.#sessions = sessions;
  }

  @SubscribeMessage('auth:renew')
  async renew(@ConnectedSocket() socket: UserSocket, @MessageBody() body: unknown) {
    const { token } = check(renewRequest, body);
    const session = this.#sessions.of(socket);
    const { expiresAt, rooms } = await this.#access.renew(session, token);
    for (const room of session.rooms) {
      if (!rooms.match(room))
        await session.expel(room, { reason: 'token', message: 'the new token does not allow this room' });
    }
    return { ok: true, ...(expiresAt !== undefined && { expiresAt }) };
  }
}
