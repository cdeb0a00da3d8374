/*
 * Measuring in turn, A B C A B C …, after one round that does not count: what the machine does meanwhile falls on all alike,
 * and figures of one round may be compared. The median and the spread of the rounds are what is reported.
 */

export class Rounds {
  /** Of each subject, a record of figures a round; nothing where a delivery was lost. */
  #records = new Map();
  voids = [];

  /**
   * @param {import('./bench.mjs').Bench} bench
   * @param {Iterable<[string, unknown]>} subjects their names, and what `measure` is given
   * @param {(subject: any, name: string) => Promise<Record<string, number>>} measure
   * @param {{ warm?: boolean, what: string }} options
   */
  static async of(bench, subjects, measure, { warm = true, what }) {
    const rounds = new Rounds();
    const all = [...subjects];
    for (const [name] of all) rounds.#records.set(name, []);
    for (let round = warm ? 0 : 1; round <= bench.pairs; round++) {
      for (const [name, subject] of all) {
        const label = `${what}  ${round === 0 ? 'warming up' : `round ${round} of ${bench.pairs}`}  ${name}`;
        try {
          const record = await measure(subject, name);
          const shown = Object.entries(record).map(([key, value]) => `${key} ${show(value)}`);
          bench.say(`${label}: ${shown.join(', ')}`);
          if (round > 0) rounds.#records.get(name)[round - 1] = record;
        } catch (error) {
          if (!error.lost) throw error;
          bench.say(`${label}: VOID, ${error.message}`);
          rounds.voids.push({ subject: name, round, why: error.message });
        }
      }
    }
    return rounds;
  }

  /** @returns {{ median: number, least: number, most: number, values: number[] } | undefined} */
  of(name, key) {
    return spread(this.#records.get(name).map((record) => record?.[key]));
  }

  /** One subject's figure by another's, round by round. `key`s may differ. */
  ratio(name, against, key, ofOther = key) {
    const others = this.#records.get(against);
    return spread(this.#records.get(name).map((record, round) => record?.[key] / others[round]?.[ofOther]));
  }

  /**
   * What a row reports about one figure of each subject.
   *
   * @param {{ what: string, unit: string, key: string, ours?: string, against?: string | string[], goal?: number }} options
   * `goal`: what the ratio of `ours` to each of `against` may be at most, or with `atLeast`, at least
   */
  figures({ what, unit, key, ours, against = [], goal, atLeast = false }) {
    const figures = [...this.#records.keys()]
      .map((subject) => ({
        ...{ what, unit, subject },
        ...this.of(subject, key),
        voids: this.voids.filter((each) => each.subject === subject && each.round > 0).length,
      }))
      .filter(({ median, voids }) => median !== undefined || voids > 0);
    const ratios = [against].flat().map((other) => {
      const ratio = atLeast ? this.ratio(other, ours, key) : this.ratio(ours, other, key);
      const met = goal === undefined || !ratio ? undefined : atLeast ? ratio.median >= goal : ratio.median <= goal;
      return { what, subject: ours, against: other, ...ratio, goal, atLeast, met };
    });
    return { figures, ratios };
  }
}

/** Of several reports, one. */
export function together(...reports) {
  return {
    figures: reports.flatMap(({ figures = [] }) => figures),
    ratios: reports.flatMap(({ ratios = [] }) => ratios),
    notes: reports.flatMap(({ notes = [] }) => notes),
  };
}

/** The share of the values that is given as a number from 0 to 1. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export function show(value) {
  if (value === undefined || Number.isNaN(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1_000) return Math.round(value).toLocaleString('en');
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 0.1
        ? value.toFixed(2)
        : value.toFixed(3);
}

function spread(all) {
  const values = all.filter((value) => Number.isFinite(value));
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, least: sorted[0], most: sorted.at(-1), values };
}
