/*
 * What the worker does on the bus: it hears what gateways tell each other, and announces things in rooms when asked.
 */
import { BROADCAST_TRANSPORT, BroadcastContext, BroadcastError, OnBroadcast, Rooms } from '@app/broadcast/nest';
import { Controller, Logger } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { z } from 'zod';

const EXPECTED = 'expected { rooms: string[], text: string of 1 to 10,000 characters }';
const announcement = z.object({
  rooms: z.array(z.string().min(1)).min(1),
  text: z.string().min(1).max(10_000),
});

@Controller()
export class AnnouncementsController {
  readonly #logger = new Logger(AnnouncementsController.name);
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** `client.send('room.announce', { rooms: ['123'], text: '…' })`: one worker says it, as event `announcement`. */
  @MessagePattern('room.announce', BROADCAST_TRANSPORT)
  async announce(@Payload() command: unknown) {
    const { success, data } = announcement.safeParse(command);
    if (!success) throw new RpcException({ code: 'BAD_REQUEST', message: EXPECTED });
    try {
      const { id } = await this.#rooms.to(data.rooms).from('worker').emit('announcement', { text: data.text });
      this.#logger.log(`announced in ${data.rooms.length} room(s)`);
      return { id, rooms: data.rooms.length };
    } catch (error) {
      if (error instanceof BroadcastError) throw new RpcException({ code: error.code, message: error.message });
      throw error;
    }
  }

  @OnBroadcast('gateway.*')
  onGateway(@Payload() news: unknown, @Ctx() context: BroadcastContext): void {
    this.#logger.log(`${context.getOrigin()}: ${context.getSubject()} ${JSON.stringify(news)}`);
  }
}
