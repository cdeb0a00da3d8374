/*
 * When each user may speak again in rooms with slow mode. Instances tell each other who has spoken, so that the while holds
 * for a user, by however many sockets on however many of them; only two messages within the same moment may both pass.
 */
import { decodeArgs, type Bus } from '@app/broadcast';

/** Time between two looks for what may be forgotten, in ms. */
const SWEEP = 60_000;
/** Users that are remembered, whatever they are told of. */
const MOST = 1_000_000;
/** How much later than here another instance may have heard that somebody spoke, in ms: who waits so long may speak there too. */
const LATER = 20;

interface Said {
  at: number;
  until: number;
}

export class SlowMode {
  readonly #bus: Bus;
  readonly #said = new Map<string, Said>();
  #sweptAt = 0;

  constructor(bus: Bus) {
    this.#bus = bus;
    bus.control.on('said', (message) => {
      const [room, user, interval] = decodeArgs(message);
      if (message.header.origin === bus.instance || !Number.isFinite(interval)) return;
      this.#note(`${String(room)}\n${String(user)}`, Number(interval));
    });
  }

  /** Users who are remembered. */
  get size(): number {
    return this.#said.size;
  }

  /** In how many ms a user may speak again in a room. */
  wait(user: string, room: string, interval: number): number {
    const said = this.#said.get(`${room}\n${user}`);
    const wait = said ? said.at + interval - performance.now() : 0;
    return wait > 0 ? wait + LATER : 0;
  }

  /** A user is about to speak. To be called with whether that was so. */
  begin(user: string, room: string, interval: number): (said: boolean) => void {
    const key = `${room}\n${user}`;
    const before = this.#said.get(key);
    const mine = this.#note(key, interval);
    return (said) => {
      if (said) {
        // Who does not hear it lets one message more pass.
        this.#bus.control.send('all', { kind: 'said' }, [room, user, interval]).catch(() => undefined);
      } else if (this.#said.get(key) === mine) {
        if (before) this.#said.set(key, before);
        else this.#said.delete(key);
      }
    };
  }

  #note(key: string, interval: number): Said {
    const at = performance.now();
    if (at - this.#sweptAt > SWEEP || this.#said.size >= MOST) this.#sweep(at);
    const said = { at, until: at + interval };
    if (this.#said.size < MOST) this.#said.set(key, said);
    return said;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [key, { until }] of this.#said) if (until <= now) this.#said.delete(key);
  }
}
