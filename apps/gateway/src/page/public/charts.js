/*
 * A small chart of one or two lines over the last minute. Drawn by uPlot, coloured by the style sheet.
 */
/* global uPlot */

/** @param fields names of the numbers to draw, the strongest line first */
export class Chart {
  #place;
  #fields;
  #plot;

  constructor(place, fields) {
    this.#place = place;
    this.#fields = fields;
    new ResizeObserver(() => this.#resize()).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#begin());
  }

  draw(seconds) {
    if (!this.#plot) this.#begin();
    const data = [seconds.map((_, i) => i - seconds.length + 1)];
    for (const field of this.#fields) data.push(seconds.map((second) => second[field]));
    this.#plot?.setData(data);
  }

  #begin() {
    const { clientWidth: width, clientHeight: height } = this.#place;
    const old = this.#plot;
    this.#plot = undefined;
    const data = old?.data;
    old?.destroy();
    if (width === 0) return;
    const style = getComputedStyle(this.#place);
    const [accent, soft, muted] = ['--accent', '--accent-soft', '--muted'].map((name) => style.getPropertyValue(name));
    const lines = this.#fields.map((_, i) => ({
      stroke: i === 0 ? accent : muted,
      fill: i === 0 ? soft : undefined,
      width: i === 0 ? 1.5 : 1,
      points: { show: true, filter: lonely, size: 4, fill: i === 0 ? accent : muted },
      spanGaps: false,
    }));
    const range = (_plot, _min, max) => [0, Math.max(1, max ?? 0) * 1.1];
    const options = {
      ...{ width, height, padding: [2, 0, 1, 0], legend: { show: false }, cursor: { show: false } },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: false }, y: { range } },
      series: [{}, ...lines],
    };
    this.#plot = new uPlot(options, data ?? [[], ...this.#fields.map(() => [])], this.#place);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#place;
    if (this.#plot && width > 0) this.#plot.setSize({ width, height });
  }
}

/** Seconds without a neighbour, which no line would show. */
function lonely({ data }, series) {
  const values = data[series];
  const isThere = (i) => values[i] !== null && values[i] !== undefined;
  return [...values.keys()].filter((i) => isThere(i) && !isThere(i - 1) && !isThere(i + 1));
}
