// Looks at the jobs of a queue, and does what an operator does about them: `npm run jobs -- --help`. Needs a broker, since
// the embedded transport does not leave its process.
import { parseArgs } from 'node:util';
import { createBus, readEnvironment } from '../dist/libs/broadcast/src/index.js';

const USAGE = `npm run jobs -- stats <queue>
npm run jobs -- add <queue> <pattern> ['<json>'] [--id <id>] [--delay 5s]
npm run jobs -- dead list <queue> [--limit 20] [--id <id>]
npm run jobs -- dead replay <queue> [--limit <n>] [--id <id>]
npm run jobs -- dead purge <queue> [--limit <n>] [--id <id>]

The broker comes from the environment, as for the gateways and workers: BROADCAST_TRANSPORT, REDIS_URL, RABBITMQ_URL,
BROADCAST_PREFIX. "dead replay" puts dead letters back into the queue, "dead purge" forgets them; the oldest first.`;

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

const { values, positionals } = parsed();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const work = command(positionals);
const environment = settings();
if (environment.BROADCAST_TRANSPORT === 'memory') {
  stop('jobs are looked at over a broker: set BROADCAST_TRANSPORT=redis or rabbitmq, as for the gateways and workers.');
}

const bus = createBus({ ...environment, INSTANCE_ID: undefined });
bus.on('error', ({ message }) => console.error(message));
try {
  await bus.connect();
  await work(bus.jobs);
} catch (error) {
  console.error(`${error.code ?? 'ERROR'}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await bus.close();
}

/** What is to be done with the jobs. */
function command([first, second, ...rest]) {
  const selection = { id: values.id, limit: wholeNumber(values.limit) };
  if (first === 'stats' && second && rest.length === 0) return (jobs) => stats(jobs, second);
  if (first === 'add' && second && rest.length >= 1 && rest.length <= 2) {
    const [pattern, data = 'null'] = rest;
    const options = { ...(values.id !== undefined && { id: values.id }), delay: duration(values.delay) };
    return async (jobs) => console.log((await jobs.enqueue(second, pattern, json(data), options)).id);
  }
  if (first === 'dead' && rest.length === 1) {
    const [queue] = rest;
    if (second === 'list') return (jobs) => list(jobs, queue, selection);
    if (second === 'replay') return async (jobs) => console.log(`${await jobs.replay(queue, selection)} put back`);
    if (second === 'purge') return async (jobs) => console.log(`${await jobs.purge(queue, selection)} forgotten`);
  }
  return stop(USAGE);
}

async function stats(jobs, queue) {
  const { waiting, running = 'not told by this broker', delayed, dead } = await jobs.stats(queue);
  for (const [name, count] of Object.entries({ waiting, running, delayed, dead })) console.log(`${name}: ${count}`);
}

/** One line each, as JSON: to be read, and to be worked on with jq. */
async function list(jobs, queue, { id, limit = 20 }) {
  for (const { body, at, ...dead } of await jobs.dead(queue, { id, limit })) {
    console.log(JSON.stringify({ ...dead, at: new Date(at).toISOString(), job: body.toString() }));
  }
}

function parsed() {
  const options = { id: { type: 'string' }, limit: { type: 'string' }, delay: { type: 'string' } };
  try {
    const help = { type: 'boolean', short: 'h' };
    return parseArgs({ allowPositionals: true, options: { ...options, help } });
  } catch (error) {
    return stop(`${error.message}\n\n${USAGE}`);
  }
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return stop(`the data has to be JSON, not ${text}`);
  }
}

function wholeNumber(text) {
  if (text === undefined) return undefined;
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : stop(`--limit has to be a whole number above 0, not ${text}`);
}

function duration(text = '0ms') {
  const [, amount, unit] =
    /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? stop(`--delay has to be like 500ms, 5s or 10m, not ${text}`);
  return Number(amount) * UNITS[unit];
}

function settings() {
  try {
    return readEnvironment();
  } catch (error) {
    return stop(error.message);
  }
}

function stop(why) {
  console.error(why);
  process.exit(1);
}
