/*
 * The worker's job: `room.publish` says one thing in one room or in ten thousand. A part at a time, so that a worker that
 * is killed, or closes, leaves the rest to another one; and with one id, so that a room that was reached twice hears it
 * once.
 */
import { BroadcastError, JobContext, OnJob, Rooms } from '@app/broadcast/nest';
import { Controller, Logger } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { z } from 'zod';

const ROOMS = 10_000;
/** Rooms in a part: what a worker that is killed may have said and does not remember. */
const PART = 500;
/** Messages under way at a time. */
const AT_ONCE = 50;

const command = z.object({
  rooms: z
    .array(z.string('expected strings').min(1, 'expected names that are not empty'), 'expected a list of rooms')
    .min(1, 'expected at least one room')
    .max(ROOMS, `expected at most ${ROOMS} rooms`),
  event: z.string('expected a string').min(1, 'expected a name that is not empty'),
  data: z.unknown().optional(),
  id: z.string('expected a string').min(1, 'expected a string that is not empty').optional(),
});

@Controller()
export class RoomsController {
  readonly #logger = new Logger('Jobs');
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  @OnJob('room.publish', { queue: 'rooms', concurrency: 4 })
  async publish(@Payload() given: unknown, @Ctx() context: JobContext): Promise<void> {
    const { success, data: wanted, error } = command.safeParse(given);
    if (!success) throw new BroadcastError('BAD_REQUEST', `room.publish is wrong: ${sentence(error)}`);
    const { event, data, id = context.getId() } = wanted;
    const rooms = [...new Set(wanted.rooms)];
    const from = Number(context.getProgress() ?? 0);
    const part = rooms.slice(from, from + PART);
    for (let i = 0; i < part.length; i += AT_ONCE) {
      const some = part.slice(i, i + AT_ONCE);
      await Promise.all(some.map((room) => this.#rooms.publish({ room, event, data, id, from: 'worker' })));
    }
    const done = from + part.length;
    this.#logger.log(`room.publish ${context.getId()}: ${done} of ${rooms.length} room(s)`, { id, queue: 'rooms' });
    if (done < rooms.length) context.continueWith(String(done));
  }
}

function sentence({ issues }: z.ZodError): string {
  const [{ path, message } = { path: [], message: '' }] = issues;
  return path.length > 0 ? `${path.join('.')}: ${message}` : 'expected { rooms, event, data?, id? }';
}
