/*
 * Requests whose answer nobody waits for any more, until whoever was asked knows. A handler's stream may run for ever, so
 * what cannot be told now, because the link or the other instance is away, is told when they are back.
 */
import type { Bus } from '../bus.js';
import { pause } from '../deadline.js';
import { BroadcastError } from '../errors.js';
import { CANCEL } from './wire.js';

/** Most that wait to be told. Beyond them a stream ends when what it says finds nobody. */
const MAX = 10_000;
/** How long an instance that was not there is given to come back, in ms, before each further attempt. */
const WAITS = [500, 1_000, 2_000, 4_000, 8_000, 16_000];
/** What was told is told again no sooner than this, in ms: parts that were under way still arrive. */
const REPEAT = 1_000;

export class Cancels {
  readonly #bus: Bus;
  readonly #untold = new Map<string, Set<string>>();
  #count = 0;
  readonly #told = new Map<string, number>();
  readonly #closed = new AbortController();

  constructor(bus: Bus) {
    this.#bus = bus;
    bus.on('state', (state) => {
      if (state === 'closed') this.#closed.abort();
    });
  }

  /** Tells the instance that nobody waits for its answer to the request. */
  say(instance: string, request: string): void {
    const now = performance.now();
    if (this.#count >= MAX || this.#closed.signal.aborted) return;
    if (now - (this.#told.get(request) ?? -Infinity) < REPEAT) return;
    this.#remember(request, now);
    const waiting = this.#untold.get(instance);
    const requests = waiting ?? new Set();
    if (!requests.has(request)) this.#count++;
    requests.add(request);
    if (waiting) return;
    this.#untold.set(instance, requests);
    void this.#tell(instance, requests).finally(() => {
      this.#untold.delete(instance);
      this.#count -= requests.size;
    });
  }

  #remember(request: string, now: number): void {
    this.#told.delete(request);
    this.#told.set(request, now);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MAX && oldest !== undefined) this.#told.delete(oldest);
  }

  /** Never rejects. One goes ahead: where it finds nobody, the others are spared. */
  async #tell(instance: string, requests: Set<string>): Promise<void> {
    let attempt = 0;
    for (const request of requests) {
      while (!(await this.#send(instance, request))) {
        const wait = WAITS[attempt++];
        if (wait === undefined) return;
        await pause(wait, this.#closed.signal);
        if (!(await this.#up())) return;
      }
      attempt = 0;
      const others = [...requests].filter((other) => other !== request);
      requests.delete(request);
      this.#count--;
      await Promise.all(
        others.map(async (other) => {
          if ((await this.#send(instance, other)) && requests.delete(other)) this.#count--;
        }),
      );
    }
  }

  /** Whether it is known that it was told, or that nothing more can be done. */
  async #send(instance: string, request: string): Promise<boolean> {
    if (this.#bus.state === 'down' && !(await this.#up())) return true;
    try {
      await this.#bus.control.send({ instance }, { kind: CANCEL }, [request]);
      return true;
    } catch (error) {
      return !(error instanceof BroadcastError) || error.code === 'CLOSED';
    }
  }

  /** Resolves when the link is back, with `false` when it never will be. No timer: it keeps no process alive. */
  #up(): Promise<boolean> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.#bus.state !== 'up' && this.#bus.state !== 'closed') return;
        this.#bus.off('state', look);
        resolve(this.#bus.state === 'up');
      };
      this.#bus.on('state', look);
      look();
    });
  }
}
