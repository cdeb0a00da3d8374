/*
 * What `io` can do, for processes without a Socket.IO server: a worker, a cron job. They are no members, and nobody
 * waits for them.
 */
import { Audience, checkAddress, checkArgs, checkEvent, type Address } from '../audience.js';
import type { Bus } from '../bus.js';
import { checkBus } from '../checks.js';
import { stamp } from '../envelope.js';
import { looksLikeSocketId, publishToRooms } from '../routing.js';

/** Emits to the sockets of every server on the bus: `createEmitter(bus).to('123').emit('chat', 'Hello!')`. */
export function createEmitter(bus: Bus): Emitter {
  checkBus(bus, 'createEmitter');
  return new Emitter(bus);
}

export class Emitter extends Audience {
  constructor(bus: Bus, address: Address = {}) {
    super(bus, address);
  }

  /**
   * Emits, as `io.emit()` does: to the rooms that were named, or to everyone in the namespace. Resolves when the broker
   * has accepted it; the promise may be left alone.
   *
   * @throws BroadcastError `BAD_REQUEST`, `UNAVAILABLE`, `UNCERTAIN`, `OVERLOADED`, `CLOSED`, all through the promise
   */
  emit(event: string, ...args: unknown[]): Promise<void> {
    return this.told(async () => {
      const { rooms = [], ...address } = checkAddress(this.address);
      const names = [...new Set(rooms)];
      const header = { ...stamp(this.bus.instance), ...address, raw: 1 } as const;
      const channels = names.some(looksLikeSocketId) ? (['all'] as const) : undefined;
      await publishToRooms(this.bus, names, header, [checkEvent(event), ...checkArgs(args)], { channels });
    });
  }

  protected override with(address: Partial<Address>): this {
    return new Emitter(this.bus, { ...this.address, ...address }) as this;
  }
}
