/*
 * The results as files: JSON for programs, Markdown for people, a chart for a glance. What was measured before and is not now
 * stays, with its own date and versions.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chart } from './chart.mjs';
import { show } from './rounds.mjs';
import { ROWS } from './rows/index.mjs';

export class Report {
  #path;
  #rows;

  constructor(path, rows) {
    this.#path = path;
    this.#rows = rows;
  }

  static at(path) {
    const file = `${path}.json`;
    return new Report(path, existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {});
  }

  add(name, result) {
    this.#rows[name] = result;
  }

  write() {
    const rows = Object.fromEntries(this.#names().map((name) => [name, this.#rows[name]]));
    writeFileSync(`${this.#path}.json`, `${JSON.stringify(rows, null, 1)}\n`);
    writeFileSync(`${this.#path}.md`, this.markdown());
    writeFileSync(`${this.#path}.svg`, chart(this.#goals(this.#names())));
  }

  markdown(names = this.#names()) {
    const sections = names.flatMap((name) => this.#section(name));
    return `# What was measured\n\n${[...this.#summary(names), ...sections, ...this.#conditions(names)].join('\n')}\n`;
  }

  #names() {
    return Object.keys(ROWS).filter((name) => this.#rows[name]);
  }

  #goals(names) {
    return names.flatMap((row) =>
      this.#rows[row].ratios.filter(({ goal }) => goal).map((ratio) => ({ row, ...ratio })),
    );
  }

  #summary(names) {
    const goals = this.#goals(names);
    if (goals.length === 0) return [];
    return [
      '## Goals\n',
      '| | measured | against | ratio (least to most) | goal | |',
      '|---|---|---|---:|---:|---|',
      ...goals.map(({ row, what, against, goal, atLeast, met, ...ratio }) => {
        const bound = `${atLeast ? '≥' : '≤'} ${goal}`;
        return line([row, what, against, range(ratio), bound, met === undefined ? 'void' : met ? 'met' : '**missed**']);
      }),
      '',
    ];
  }

  #section(name) {
    const { title, figures, ratios, notes, table = [], date, rounds, load, quick, versions } = this.#rows[name];
    const ratioOf = ({ subject, what }) =>
      ratios
        .filter((each) => each.against === subject && each.what === what && each.median !== undefined)
        .map((each) => `${each.atLeast ? 'others by ours' : 'ours by others'} ${range(each)}`)
        .join(', ');
    return [
      `## ${name}: ${title}\n`,
      ...(quick ? ['*A quick run: the figures mean nothing.*\n'] : []),
      '| | | median (least to most) | | void |',
      '|---|---|---:|---|---:|',
      ...figures.map((figure) =>
        line([
          figure.what,
          figure.subject,
          `${range(figure)} ${figure.unit}`.trim(),
          ratioOf(figure),
          figure.voids ? `${figure.voids} of ${rounds}` : '',
        ]),
      ),
      '',
      ...(notes.length > 0 ? [...notes.map((note) => `- ${note}`), ''] : []),
      ...(table.length > 0 ? [...table.map(line), ''] : []),
      `${date.slice(0, 16).replace('T', ' ')} UTC, ${rounds} rounds, load average ${load}, Roomcast ${versions.roomcast}`,
      '',
    ];
  }

  #conditions(names) {
    const each = names.map((name) => {
      const { machine, versions } = this.#rows[name];
      const others = Object.entries(versions).filter(([what]) => what !== 'roomcast');
      return [...Object.values(machine), ...others.map(([what, version]) => `${what} ${version}`)].join(', ');
    });
    return ['## Measured on\n', ...[...new Set(each)].map((conditions) => `- ${conditions}`)];
  }
}

function line(cells) {
  return `| ${cells.join(' | ')} |`;
}

function range({ median, least, most }) {
  if (median === undefined) return 'void';
  return least === most ? show(median) : `${show(median)} (${show(least)} to ${show(most)})`;
}
