/*
 * Two questions of an orchestrator: does the process live, and should it get work? A broker outage after the start
 * shows in the answer but keeps the instance in rotation, since another one would fare no better.
 */
import type { Bus } from '@app/broadcast';

export interface HealthOptions {
  /** Whether a broker outage makes the instance unready. */
  requiresBroker: boolean;
  draining: () => boolean;
}

export class Health {
  readonly #bus: Bus;
  readonly #options: HealthOptions;

  constructor(bus: Bus, options: HealthOptions) {
    this.#bus = bus;
    this.#options = options;
  }

  /** The event loop turns: who can answer lives. What the broker does says nothing about it. */
  live() {
    return { status: 'ok', instance: this.#bus.instance };
  }

  ready() {
    const { instance, state, everUp, blocked, roundTrip, trouble, transport, counts } = this.#bus;
    const draining = this.#options.draining();
    const ready = everUp && !draining && (state === 'up' || !this.#options.requiresBroker);
    const broker = { transport: transport.name, state, trouble, blocked, roundTrip, ...counts };
    return { ready, body: { status: ready ? 'ok' : 'unavailable', instance, draining, broker } };
  }
}
