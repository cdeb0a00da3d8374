/*
 * Whether the link really works: this instance sends itself a message through the broker, by the way that every other
 * message takes. TCP being open proves nothing, and a subscriber that has gone deaf raises no error.
 */
import { ulid } from './ulid.js';

export interface ProbeOptions {
  /** Time between two probes, in ms. */
  interval: number;
  /** Probes in a row that may stay without an echo. */
  misses: number;
  /** Sends the id to this instance's own channel. */
  send: (id: string) => Promise<void>;
  /** Nothing came back: the link is deaf. */
  deaf: (silence: number) => void;
  /** An echo of a probe that this instance did not send: another instance goes by the same id. */
  impostor: () => void;
}

/** Echoes of foreign probes that make an impostor. One may be the last of the process that this one replaces. */
const STRANGERS = 3;

export class Probe {
  readonly #options: ProbeOptions;
  #timer?: NodeJS.Timeout;
  #paused = false;
  /** Probes without an echo and when they were sent. Counted in probes, not in time: a process that was frozen for a
   * minute has missed one, not thirty. */
  readonly #sent = new Map<string, number>();
  #roundTrip?: number;
  /** Begins the ids of this process's probes, so that a late echo is told from somebody else's. */
  readonly #mark = ulid();
  #strangers = 0;

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  /** How long the last echo took, in ms. `undefined` until the first one. */
  get roundTrip(): number | undefined {
    return this.#roundTrip;
  }

  start(): void {
    this.stop();
    this.#timer = setInterval(() => this.#tick(), this.#options.interval).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sent.clear();
  }

  /** A broker that takes no messages returns no echoes either, and is not deaf for it. */
  pause(on: boolean): void {
    this.#paused = on;
    this.#sent.clear();
  }

  /** An echo has arrived. */
  heard(id: string): void {
    const at = this.#sent.get(id);
    if (at !== undefined) {
      this.#roundTrip = performance.now() - at;
      this.#sent.clear();
    } else if (!id.startsWith(this.#mark) && ++this.#strangers === STRANGERS) {
      this.#options.impostor();
    }
  }

  #tick(): void {
    if (this.#paused) return;
    const { interval, misses, send, deaf } = this.#options;
    if (this.#sent.size >= misses) {
      deaf(misses * interval);
      return;
    }
    const id = `${this.#mark}${ulid()}`;
    this.#sent.set(id, performance.now());
    // A probe that could not be sent is one without an echo: it is counted above.
    send(id).catch(() => undefined);
  }
}
