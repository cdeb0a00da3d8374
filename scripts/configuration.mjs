/*
 * Makes docs/configuration.md, and the settings that the Helm chart takes, out of the schema of the environment. Needs a
 * build.
 *
 *   npm run configuration              writes them
 *   npm run configuration -- --check   exits with 1 if they are not as they would be written
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { z } from 'zod';
import { readEnvironment, schema, showEnvironment } from '../dist/libs/broadcast/src/environment.js';
import { profileSettings } from '../dist/libs/broadcast/src/profile-settings.js';
import { variables } from '../dist/libs/broadcast/src/variables.js';
import { giveUp, root } from './prerequisites.mjs';

const page = 'docs/configuration.md';
const chart = 'deploy/helm/roomcast/values.schema.json';
const topics = ['Listening', 'Access', 'Rooms', 'Limits', 'Broker', 'Running'];

const { properties: types } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
const defaults = showEnvironment(readEnvironment({}));
const all = Object.keys(types).map((name) => ({ name, type: types[name], ...variables[name] }));
const unexplained = all.filter(({ meaning }) => !meaning).map(({ name }) => name);
if (unexplained.length > 0) giveUp(`No meaning in libs/broadcast/src/variables.ts: ${unexplained.join(', ')}`);
const ofChart = JSON.parse(readFileSync(join(root, chart), 'utf8'));

const files = { [page]: text(), [chart]: await json() };
const stale = Object.keys(files).filter((file) => read(file) !== files[file]);
if (process.argv.includes('--check')) {
  if (stale.length > 0) giveUp(`Not up to date: ${stale.join(', ')}. Run: npm run build && npm run configuration`);
} else {
  for (const file of stale) writeFileSync(join(root, file), files[file]);
  console.log(stale.length > 0 ? `written: ${stale.join(', ')}` : 'all up to date');
}

function text() {
  return `# Configuration

<!-- Made by \`npm run configuration\`: change libs/broadcast/src/environment.ts and variables.ts instead. -->

Gateway and worker are told everything by their environment. A wrong value stops the start with one sentence that names
it, and a name that is nearly one of these is told at the start; an empty value counts as none. \`--check-config\` prints what the environment comes to, without passwords and secrets:

\`\`\`sh
node dist/apps/gateway/src/main.js --check-config
\`\`\`

Durations are a number and a unit: \`500ms\`, \`25s\`, \`10m\`, \`1h\`. All instances that share a broker need the same variables
under *Rooms* and *Broker*. The library reads the same ones where it is not told otherwise (\`BroadcastModule.forRoot()\`).
${topics.map(section).join('')}`;
}

function section(topic) {
  const rows = all
    .filter((variable) => variable.topic === topic)
    .map(({ name, app, secret, meaning, otherwise }) => {
      const notes = [app && `${app} only`, secret && 'secret'].filter(Boolean).join(', ');
      const value = expected(name).replaceAll('|', '\\|');
      return `| \`${name}\`${notes && ` (${notes})`} | ${otherwise ?? written(defaults[name])} | ${meaning.replaceAll('|', '\\|')} | ${value} |`;
    });
  return `
## ${topic}

| variable | default | meaning | value |
|---|---|---|---|
${rows.join('\n')}
`;
}

/** What is said to be expected where the value is wrong. */
function expected(name) {
  const issues = schema.safeParse({ [name]: '\0' }).error?.issues ?? [];
  return issues.find(({ path }) => path[0] === name)?.message ?? 'any text';
}

function written(value) {
  if (value === undefined || value === '') return 'none';
  const shown = String(value)
    .replace(/(\d+)ms\b/g, (_, ms) => duration(Number(ms)))
    .replace('/1s', '/s');
  return `\`${shown}\``;
}

function duration(ms) {
  const [unit, size] = [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
    ['ms', 1],
  ].find(([, size]) => ms >= size && ms % size === 0);
  return `${ms / size}${unit}`;
}

async function json() {
  const { settings, secrets } = ofChart.properties;
  const plain = all.filter(({ secret, derived }) => !secret && !derived);
  settings.properties = Object.fromEntries(plain.map(({ name, type }) => [name, setting(name, type)]));
  const kept = all.filter(({ secret }) => secret).map(({ name }) => [name, { $ref: '#/definitions/secretKey' }]);
  secrets.properties = Object.fromEntries(kept);
  const options = { ...(await resolveConfig(join(root, chart))), parser: 'json' };
  return format(JSON.stringify(ofChart), options);
}

/** YAML has numbers, truth and objects of its own: what reads like one may be one. JSON has to be. */
function setting(name, { pattern, enum: values, ...limits }) {
  const description = expected(name);
  if (values?.includes('true')) return { description, enum: [true, false, ...values] };
  if (values) return { description, enum: values };
  if (name === 'ROOM_PROFILES') return { description, ...profiles() };
  const { minimum, exclusiveMinimum, maximum } = limits;
  const type = ['string'];
  if (exclusiveMinimum !== undefined) type.push('number');
  else if (minimum !== undefined || (pattern && new RegExp(pattern).test('10'))) type.push('integer');
  const range = { minimum, exclusiveMinimum, maximum };
  return { description, type: type.length > 1 ? type : 'string', ...(pattern && { pattern }), ...range };
}

/** Of the dialect that Helm reads, which has no `$schema` inside. */
function profiles() {
  return { ...z.toJSONSchema(profileSettings, { io: 'input', target: 'draft-7' }), $schema: undefined };
}

function read(file) {
  try {
    return readFileSync(join(root, file), 'utf8');
  } catch {
    return undefined;
  }
}
