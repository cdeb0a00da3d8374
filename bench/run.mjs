/*
 * `npm run bench`: measures Roomcast beside what people use today, row by row, over brokers of its own.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { giveUp, root } from '../scripts/prerequisites.mjs';
import { Bench } from './bench.mjs';
import { conditions } from './conditions.mjs';
import { Report } from './report.mjs';
import { ROWS } from './rows/index.mjs';

const HELP = `npm run bench [-- [options] [rows]]

Starts a Redis and a RabbitMQ of its own, and measures in turn, A B A B …: medians, and the least and most of all rounds.
A run that lost a delivery is void, and reported so. It needs "npm run build" before it.

  --pairs n     rounds that count (5)
  --quick       few and small: shows that everything runs, the figures mean nothing
  --out path    what is written: path.json, path.md and path.svg; rows that are in there already and are not measured now
                stay (bench/results/latest, with --quick dist/bench/quick)
  --profile     P1, P1b, P4 and P5 also write which functions the time went to, beside the results

Rows:
${Object.entries(ROWS)
  .map(([name, { title }]) => `  ${name.padEnd(12)}${title}`)
  .join('\n')}`;

const { rows, out, ...options } = readOptions();
const began = Date.now();
const say = (line) => console.error(`${((Date.now() - began) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
mkdirSync(dirname(out), { recursive: true });
const bench = new Bench({ ...options, profile: options.profile && out, say });
const report = Report.at(out);
let failed = false;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => bench.close().finally(() => process.exit(130)));

try {
  for (const name of rows) {
    const row = ROWS[name];
    await bench.open(row.brokers);
    const result = await row.run(bench);
    report.add(name, { title: row.title, ...(await conditions(bench)), ...result });
    report.write();
    failed ||= result.figures.some(({ voids }) => voids > 0);
  }
} finally {
  await bench.close();
}
console.log(report.markdown(rows));
console.log(`Written to ${out}.json, .md and .svg`);
if (failed) giveUp('Deliveries were lost: see the void runs above.');

function readOptions() {
  const parsed = () =>
    parseArgs({
      allowPositionals: true,
      options: {
        pairs: { type: 'string' },
        quick: { type: 'boolean', default: false },
        profile: { type: 'boolean', default: false },
        out: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
  let read;
  try {
    read = parsed();
  } catch (error) {
    giveUp(`${error.message}\n\n${HELP}`);
  }
  const { values, positionals } = read;
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const unknown = positionals.filter((name) => !ROWS[name]);
  if (unknown.length > 0) giveUp(`There is no row ${unknown.join(', ')}: expected ${Object.keys(ROWS).join(' ')}`);
  const { quick, profile } = values;
  const pairs = Number(values.pairs ?? (quick ? 1 : 5));
  if (!Number.isInteger(pairs) || pairs < 1) giveUp('--pairs: expected a whole number from 1');
  if (!existsSync(join(root, 'dist', 'libs', 'broadcast', 'src', 'index.js'))) giveUp('Run "npm run build" first.');
  const out = resolve(
    values.out ?? join(root, ...(quick ? ['dist', 'bench', 'quick'] : ['bench', 'results', 'latest'])),
  );
  return { rows: positionals.length > 0 ? positionals : Object.keys(ROWS), pairs, quick, profile, out };
}
