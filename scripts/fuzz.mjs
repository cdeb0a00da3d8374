/*
 * Sends a gateway what strangers might: to its sockets, its HTTP API, or by the broker. It must neither crash nor hang, its
 * memory must stay flat, and every answer must be one of those that are documented.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { testBrokers } from './brokers.mjs';
import { BusSurface } from './fuzz/bus.mjs';
import { HttpSurface } from './fuzz/http.mjs';
import { Pair } from './fuzz/pair.mjs';
import { SocketSurface } from './fuzz/socket.mjs';
import { Subject } from './fuzz/subject.mjs';
import { Tally } from './fuzz/tally.mjs';
import { giveUp, root } from './prerequisites.mjs';

const HELP = `npm run fuzz -- --surface socket|http|bus [options]

Starts a gateway, and a broker of its own, and sends it what strangers might, while two clients talk to each other. Exit
code 0 when it neither crashes nor hangs, its memory is flat and every answer is a documented one; 1 when not.

  --inputs n      how much is sent (100000)
  --seed n        decides what (42)
  --transport t   memory, redis, rabbitmq (memory; bus: redis)
  --secret        instances share BROADCAST_SECRET: no order of a stranger may be obeyed
  --json          the summary as JSON
  --keep          keep the gateway's log, whatever comes out`;

const SURFACES = { socket: SocketSurface, http: HttpSurface, bus: BusSurface };
/** How much more the gateway may hold at the end than after the first inputs, in MB. */
const MOST_HEAP = 12;
const MOST_RSS = 200;
/** Longest time until what strangers have left behind is forgotten, in ms. */
const FORGOTTEN = 60_000;
const PROGRESS = 10_000;

export const SECRET = 'the secret of the gateway that is fuzzed';
export const API_KEY = 'the-key-of-the-fuzzer';

const options = readOptions();
const started = Date.now();
const tally = new Tally();
const logs = mkdtempSync(join(tmpdir(), 'roomcast-fuzz-'));
let broker;
let subject;
process.on('exit', () => subject?.abandon());
// The broker ends by itself when this process is gone.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

try {
  const summary = await fuzz();
  console.log(options.json ? JSON.stringify(summary, null, 2) : describe(summary));
  process.exitCode = summary.findings.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await subject?.end('SIGKILL');
  await broker?.stop();
  if (options.keep || process.exitCode === 1) console.error(`The log of the gateway is in ${logs}`);
  else rmSync(logs, { recursive: true });
  // Strangers would go on to ask a gateway that has crashed.
  process.exit();
}

async function fuzz() {
  const { inputs, seed, transport } = options;
  await startAll();
  const tokenOf = (sub, claims = {}) =>
    new SignJWT({ sub, moderate: true, ...claims })
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime('2h')
      .sign(new TextEncoder().encode(SECRET));
  const pair = new Pair(subject.url, tally, tokenOf);
  await pair.start();
  const parts = { url: subject.url, brokerUrl: broker?.url, transport, prefix: 'fuzz.', seed, tally, tokenOf };
  const surface = new SURFACES[options.surface]({ ...parts, apiKey: API_KEY, secret: SECRET, signed: options.secret });
  await surface.start();
  // What is only built once is not what grows.
  const first = Math.min(inputs, Math.max(200, Math.round(inputs / 20)));
  const progress = setInterval(() => say(`${surface.sent} inputs, longest word ${pair.longest} ms`), PROGRESS);
  const crashed = crash(surface);
  const send = (count) => Promise.race([surface.send(count), crashed]);
  await send(first);
  const before = await subject.memory();
  if (inputs > first) await send(inputs - first);
  clearInterval(progress);
  await surface.stop();
  say('all is sent: waiting until it is forgotten');
  const after = await forgotten(before);
  await pair.stop();
  const ready = await subject.health();
  await subject.end('SIGTERM');
  for (const crash of subject.crashes) tally.find(crash, 'all of it');
  for (const line of subject.complaints()) tally.find(line, 'all of it');
  if (options.secret && pair.putOut > 0)
    tally.find(`the pair was put out ${pair.putOut} times`, 'orders of a stranger');
  return {
    surface: options.surface,
    transport,
    seed,
    secret: options.secret,
    inputs: surface.sent,
    kinds: surface.kinds,
    answers: sorted(tally.answers),
    memory: { before, after, most: { heap: MOST_HEAP, rss: MOST_RSS } },
    pair: { words: pair.words, longest: pair.longest, putOut: pair.putOut },
    broker: ready.broker,
    seconds: Math.round((Date.now() - started) / 1_000),
    found: tally.found,
    findings: tally.findings,
  };
}

/** Rejects when the gateway is gone before all is sent. */
async function crash(surface) {
  while (subject.running) await sleep(500);
  throw new Error(`${subject.crashes.join() || 'the gateway is gone'}, after ${surface.sent} inputs`);
}

/** Connections are gone, and memory is what it was; or else that is found. */
async function forgotten(before) {
  let memory;
  let connections;
  for (const until = Date.now() + FORGOTTEN; Date.now() < until && subject.running; await sleep(1_000)) {
    ({ connections } = await subject.health());
    memory = await subject.memory();
    const isFlat = memory.heap <= before.heap + MOST_HEAP && memory.rss <= before.rss + MOST_RSS;
    if (connections <= 2 && isFlat) return memory;
  }
  tally.find(`after ${FORGOTTEN} ms: ${connections} connections, ${JSON.stringify(memory)} MB`, JSON.stringify(before));
  return memory;
}

async function startAll() {
  const { startRedis, startRabbitmq, freePort } = testBrokers();
  const start = { redis: startRedis, rabbitmq: startRabbitmq }[options.transport];
  broker = await start?.();
  const variable = `${options.transport.toUpperCase()}_URL`;
  const environment = {
    NODE_ENV: 'production',
    BROADCAST_TRANSPORT: options.transport,
    BROADCAST_PREFIX: 'fuzz.',
    ...(broker && { [variable]: broker.url }),
    ...(options.secret && { BROADCAST_SECRET: SECRET }),
    AUTH_JWT_SECRET: SECRET,
    AUTH_ANONYMOUS: 'true',
    API_KEYS: API_KEY,
    // What is refused as too much is not looked at any further; and what is counted is to be counted.
    RATE_LIMIT: '100000/s',
    RATE_LIMIT_USER: '100000/s',
    RATE_LIMIT_ROOM: '100000/s',
    JOIN_LIMIT: '100000/s',
    HANDSHAKE_RATE: '100000/s',
    MAX_ROOMS_PER_SOCKET: '100',
    MAX_CONNECTIONS_PER_USER: '1000',
    HISTORY_SIZE: '50',
    HISTORY_TTL: '20s',
    ROOM_PROFILES: JSON.stringify({ live: { history: { size: 0 } }, pair: { history: { size: 0 } } }),
    SHUTDOWN_GRACE: '2s',
  };
  subject = new Subject({ name: 'gw-1', port: await freePort(), environment, logs });
  await subject.start();
}

function describe({ inputs, kinds, answers, memory: { before, after }, pair, broker: bus, findings, found, ...run }) {
  const list = (counts) =>
    Object.entries(counts)
      .map(([name, count]) => `  ${name.padEnd(24)}${count}`)
      .join('\n');
  return [
    `${inputs} inputs to ${run.surface} over ${run.transport}, seed ${run.seed}, in ${run.seconds} s`,
    list(kinds),
    `answers\n${list(answers)}`,
    `memory, MB          heap ${before.heap} → ${after.heap}    RSS ${before.rss} → ${after.rss}`,
    `the pair            ${pair.words} words, the longest under way for ${pair.longest} ms; put out ${pair.putOut} times`,
    `the link            ${JSON.stringify(bus)}`,
    ...findings.map(({ what, input }) => `FOUND ${what}\n      by ${input}`),
    found === 0 ? 'Nothing was found.' : `${found} findings.`,
  ].join('\n');
}

function sorted(counts) {
  return Object.fromEntries(Object.entries(counts).sort(([, one], [, other]) => other - one));
}

function say(sentence) {
  if (!options.json) console.error(`${Math.round((Date.now() - started) / 1_000)} s: ${sentence}`);
}

function readOptions() {
  const text = { type: 'string' };
  const yes = { type: 'boolean', default: false };
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        surface: text,
        inputs: text,
        seed: text,
        transport: text,
        secret: yes,
        json: yes,
        keep: yes,
        help: yes,
      },
    }));
  } catch (error) {
    giveUp(`${error.message}\n\n${HELP}`);
  }
  if (values.help) giveUp(HELP, 0);
  const { surface } = values;
  const { transport = surface === 'bus' ? 'redis' : 'memory' } = values;
  const [inputs, seed] = [Number(values.inputs ?? 100_000), Number(values.seed ?? 42)];
  if (!(surface in SURFACES)) giveUp(`--surface: expected socket, http or bus.\n\n${HELP}`);
  if (!(surface === 'bus' ? ['redis', 'rabbitmq'] : ['memory', 'redis', 'rabbitmq']).includes(transport)) {
    giveUp(`--transport: expected redis or rabbitmq${surface === 'bus' ? '' : ' or memory'}.\n\n${HELP}`);
  }
  if (!(inputs >= 1) || !Number.isSafeInteger(seed)) giveUp(`--inputs and --seed are whole numbers.\n\n${HELP}`);
  if (!existsSync(join(root, 'dist', 'apps', 'gateway', 'src', 'main.js'))) giveUp('Run npm run build first.');
  return { surface, transport, inputs, seed, secret: values.secret, json: values.json, keep: values.keep };
}
