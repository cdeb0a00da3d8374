/*
 * Which instance a client is connected to: behind a load balancer its address does not tell.
 */
import { Bus } from '@app/broadcast';
import { UseFilters } from '@nestjs/common';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { AnswerFilter } from './answer.filter.js';

@WebSocketGateway()
@UseFilters(AnswerFilter)
export class InfoGateway {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  @SubscribeMessage('server:info')
  info() {
    const { instance, transport } = this.#bus;
    return { ok: true, instance, transport: transport.name };
  }
}
