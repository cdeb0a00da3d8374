/*
 * How late the event loop is, over the last full period: what is read does not depend on who reads it how often.
 */
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks';
import { gauge, type Family } from './family.js';

/** Ms. */
const PERIOD = 10_000;
const RESOLUTION = 20;
const QUANTILES = [0.5, 0.99, 1] as const;

export class EventLoop {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  readonly #timer: NodeJS.Timeout;
  #last?: readonly number[];

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      this.#last = this.#read();
      this.#histogram.reset();
    }, PERIOD).unref();
  }

  /** Of the period before this one; in the first one, of what there is. */
  metrics(): Family {
    const delays = this.#last ?? this.#read();
    return gauge(
      'roomcast_event_loop_delay_seconds',
      'How late the event loop was in the last 10 s: the median, the 99th percentile, and the most.',
      ...QUANTILES.map((quantile, index) => ({ labels: { quantile }, value: delays[index]! })),
    );
  }

  close(): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  /** The timer is due every so many ms: what is beyond it is the delay. */
  #read(): number[] {
    if (this.#histogram.count === 0) return QUANTILES.map(() => 0);
    return QUANTILES.map((quantile) => {
      const ns = quantile === 1 ? this.#histogram.max : this.#histogram.percentile(quantile * 100);
      return Math.max(0, ns / 1e9 - RESOLUTION / 1_000);
    });
  }
}
