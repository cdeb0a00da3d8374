/*
 * What a pane has seen, in numbers: messages in each of the last seconds, and how long its own took to come back.
 */

const SECONDS = 60;

export class Figures {
  recovered = 0;
  gaps = 0;
  #heard = 0;
  #echoes = [];
  #history = Array.from({ length: SECONDS }, () => ({ rate: 0, p50: null, p99: null }));

  heard() {
    this.#heard++;
  }

  /** One of its own came back after so many ms. */
  echo(ms) {
    this.#echoes.push(ms);
  }

  /** Closes a second. */
  tick() {
    this.#history.push({
      rate: this.#heard,
      p50: percentile(this.#echoes, 50) ?? null,
      p99: percentile(this.#echoes, 99) ?? null,
    });
    this.#history.shift();
    this.#heard = 0;
    this.#echoes = [];
  }

  /** By second, the latest last. */
  get seconds() {
    return this.#history;
  }
}

/** The smallest value that so many percent are not above; `undefined` of nothing. */
export function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
}

/** `0.84` → `0.84 ms`, `12.6` → `13 ms`. */
export function milliseconds(ms) {
  if (ms === undefined || ms === null) return '–';
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
