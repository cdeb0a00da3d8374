/*
 * How long something takes, counted in steps: what a histogram of Prometheus is made of. Adding to it is a search in a
 * short list and three increments, so that every message can be measured.
 */
/** Upper ends of the steps, in ms: what is said to others, from a broker nearby to one that is in trouble. */
const MESSAGE_STEPS: readonly number[] = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

export class Timing {
  /** Upper ends of the steps, in ms, ascending; a last step without an end follows. */
  readonly steps: readonly number[];
  /** How many fell into each step, one more than there are ends. */
  readonly counts: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(steps: readonly number[] = MESSAGE_STEPS) {
    this.steps = steps;
    this.#counts = new Array<number>(steps.length + 1).fill(0);
    this.counts = this.#counts;
  }

  /** All of them together, in ms. */
  get sum(): number {
    return this.#sum;
  }

  /** @param ms below 0, which clocks that disagree make of it, counts as 0 */
  add(ms: number): void {
    const { steps } = this;
    let step = 0;
    while (step < steps.length && ms > steps[step]!) step++;
    this.#counts[step]!++;
    if (ms > 0) this.#sum += ms;
  }
}
