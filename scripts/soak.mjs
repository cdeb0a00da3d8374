/*
 * Hours of a bad day in minutes: clients that come and go, senders that never give up, and one fault after the other, over
 * a broker of its own. At the end the books: what was acknowledged against what each client received.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { brokersFor } from './brokers.mjs';
import { giveUp, root } from './prerequisites.mjs';
import { FAULTS, faultsOf } from './soak/faults.mjs';
import { GatewayProcess } from './soak/gateways.mjs';
import { Ledger } from './soak/ledger.mjs';
import { Member } from './soak/member.mjs';
import { Random } from './soak/random.mjs';

const HELP = `npm run soak -- --transport redis|rabbitmq|memory [options]

Runs gateways over a broker of its own, lets clients talk and come and go, and breaks one thing after the other. Ends with
the books: in a room with history every client receives every acknowledged message once and in order, or is told that
this cannot be promised. Exit code 0 when they balance, 1 when they do not.

  --minutes n        how long faults go on (10)
  --seed n           decides everything that is left to chance (42)
  --rooms n          (200)        --gateways n  processes; one over memory (4)
  --clients n        (200)        --rooms-each n  rooms that a client is in (3)
  --rate n           messages a second, by all clients together (100)
  --fault-every t    time between the begins of two faults: 20s, 500ms (20s)
  --faults a,b,c     only these; none: no faults (all there are over the transport)
  --keep             keep the logs of the gateways, also when the books balance
  --show n           complaints that are printed at the end (20)

Faults:
${Object.entries(FAULTS)
  .map(([name, { what, on }]) => `  ${name.padEnd(19)}${what} (${on.join(', ')})`)
  .join('\n')}`;

/** RabbitMQ 3.10.8 writes the name of its first stream down after 5 s: killed before that, it starts without it. */
const FIRST_FAULT = 8_000;
/** How long it may take until everyone is back and has heard the last message, in ms. */
const LAST_WORDS = 90_000;
/** Time between two lines of progress, in ms. */
const PROGRESS = 10_000;

const options = readOptions();
const { transport, seed } = options;
const random = new Random(seed);
const ledger = new Ledger();
const started = Date.now();
const logs = mkdtempSync(join(tmpdir(), 'roomcast-soak-'));
let faultUnderWay = 'none';
let stopping = false;
let broker;
/** @type {GatewayProcess[]} */
let gateways = [];

process.on('exit', () => gateways.forEach((gateway) => gateway.abandon()));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopping = true));

try {
  process.exitCode = (await soak()) ? 0 : 1;
} catch (error) {
  console.error(error);
  console.error(`The logs of the gateways are in ${logs}`);
  process.exitCode = 1;
} finally {
  await Promise.all(gateways.map((gateway) => gateway.end('SIGKILL')));
  await Promise.all(gateways.map(({ gate }) => gate?.close()));
  await broker?.stop();
}

async function soak() {
  await startAll();
  const rooms = Array.from({ length: options.rooms }, (_, i) => `room-${i + 1}`);
  const shared = { ledger, urls: gateways.map(({ url }) => url) };
  const chance = random.fork();
  const members = Array.from(
    { length: options.clients },
    (_, i) => new Member(shared, `c${i + 1}`, chance.some(rooms, options.roomsEach), chance.fork()),
  );
  for (const member of members) member.connect();
  const saying = new Set();
  const speaking = speakers(members, saying);
  const progress = progressing();

  const end = started + options.minutes * 60_000;
  await sleep(Math.min(FIRST_FAULT, options.minutes * 60_000));
  while (!stopping && Date.now() < end) await oneFault(speaking, end);

  faultUnderWay = 'none any more';
  for (const member of members) member.settle();
  speaking.stop();
  ledger.note({}, 'faults are over');
  const late = await lastWords(members, saying);
  clearInterval(progress);
  const unread = await differentHistories(members, late.markers);
  for (const member of members) member.stop();
  for (const gateway of gateways) await gateway.end('SIGTERM');
  ledger.close();
  return report(late.missing, unread);
}

async function startAll() {
  const { startBroker, openGate, freePort } = brokersFor(transport);
  broker = await startBroker();
  const url = { redis: 'REDIS_URL', rabbitmq: 'RABBITMQ_URL' }[transport];
  for (let i = 1; i <= options.gateways; i++) {
    const gate = broker && (await openGate(broker.port));
    const environment = {
      BROADCAST_TRANSPORT: transport,
      ...(broker && { [url]: gate.url(broker.url) }),
      HISTORY_SIZE: '2000',
      SHUTDOWN_GRACE: '2s',
    };
    gateways.push(new GatewayProcess({ name: `gw-${i}`, port: await freePort(), gate, environment, logs }));
  }
  await Promise.all(gateways.map((gateway) => gateway.start()));
}

/** Says something now and then in a room that somebody is in, for as long as it is not stopped. */
function speakers(members, saying) {
  const chance = random.fork();
  let count = 0;
  const say = (bytes) => {
    const member = chance.pick(members);
    const room = member.rooms.length > 0 && chance.pick(member.rooms);
    // Those whose messages wait say no more: how long everything lasts must not depend on how long an outage did.
    if (!room || saying.size > 5_000) return;
    const id = `m${++count}`;
    const said = member.say(room, id, { n: count, ...(bytes && { pad: 'x'.repeat(bytes) }) });
    saying.add(said);
    said.then(
      () => saying.delete(said),
      (error) => ledger.complain('disorder', member, id, undefined, error.message),
    );
  };
  let due = 0;
  const timer = setInterval(() => {
    for (due += options.rate / 50; due >= 1; due--) say();
  }, 20);
  return { say, stop: () => clearInterval(timer) };
}

async function oneFault(speaking, end) {
  const next = Date.now() + options.faultEvery;
  if (options.faults.length > 0) {
    const name = random.pick(options.faults);
    faultUnderWay = name;
    ledger.note({}, `fault: ${name}`);
    console.log(`${elapsed()}  ${name}: ${FAULTS[name].what}`);
    const shout = (bytes) => speaking.say(bytes);
    await FAULTS[name].run({ broker, gateways, random: random.fork(), shout });
    ledger.note({}, `${name} is over`);
    faultUnderWay = 'none';
  }
  while (!stopping && Date.now() < Math.min(next, end)) await sleep(100);
}

/** Waits for what is being said, then until everyone is back, and has heard one more message in each room. */
async function lastWords(members, saying) {
  const until = Date.now() + LAST_WORDS;
  const wait = async (isDone) => {
    while (!isDone() && Date.now() < until) await sleep(100);
  };
  await wait(() => members.every(({ isIn }) => isIn));
  await wait(() => saying.size === 0);
  const rooms = new Set(members.flatMap((member) => member.rooms));
  const markers = [...rooms].map((room) => ({ room, id: `last-${room}` }));
  const say = ({ room, id }) => members.find((member) => member.rooms.includes(room))?.say(room, id, null);
  const said = Promise.all(markers.map(say));
  const missing = () =>
    members.flatMap((member) =>
      member.isIn
        ? markers.filter(({ room, id }) => !member.hasHeard(room, id)).map(({ room }) => `${member.name} in ${room}`)
        : [member.name],
    );
  await wait(() => missing().length === 0);
  await Promise.race([said, sleep(5_000)]);
  return { markers, missing: missing() };
}

/** What the history of a room says has to be what its clients heard. */
async function differentHistories(members, markers) {
  const different = [];
  const look = async ({ room }) => {
    const answer = await members.find((each) => each.rooms.includes(room))?.history(room);
    const places = answer?.messages?.map(({ id, pos }) => [id, pos]) ?? [];
    if (!answer?.ok) different.push(`${room} could not be read: ${answer?.error.message ?? 'no answer came'}`);
    else if (new Set(places.map(([id]) => id)).size < places.length) different.push(`${room} has a message twice`);
    for (const [id, pos] of places) ledger.place(room, id, pos, { client: 'the history', room });
  };
  // Some at a time: over RabbitMQ those that are read together are read at once.
  for (let i = 0; i < markers.length; i += 20) await Promise.all(markers.slice(i, i + 20).map(look));
  return different;
}

function progressing() {
  let before = { ...ledger.counts };
  return setInterval(() => {
    const { counts } = ledger;
    const rate = (name) => Math.round((counts[name] - before[name]) / (PROGRESS / 1_000));
    const line = [
      `${elapsed()}  fault: ${faultUnderWay}`,
      `${rate('acknowledged')} acknowledged/s, ${rate('delivered')} delivered/s`,
      `reconnects ${counts.reconnects}, gaps told ${counts.gaps}, unavailable ${counts.unavailable}`,
    ];
    const wrong = ledger.complaints.length > 0 ? [`WRONG ${ledger.complaints.length}`] : [];
    console.log([...line, ...wrong].join(' · '));
    before = { ...counts };
  }, PROGRESS);
}

function report(missing, unread) {
  const { counts } = ledger;
  const crashes = gateways.flatMap((gateway) => gateway.crashes);
  const others = [
    ...missing.map((who) => `${who} never heard the last message`),
    ...unread.map((what) => `the history of ${what}`),
    ...crashes.map((what) => `${what} without having been told to`),
  ];
  for (const { text, kind } of ledger.complaints.slice(0, options.show)) console.log(`${kind}: ${text}`);
  for (const text of others.slice(0, options.show)) console.log(`wrong: ${text}`);
  const [first] = ledger.complaints;
  if (first) console.log(`\nWhat ${first.client} was told of ${first.room}:\n  ${ledger.notesOf(first).join('\n  ')}`);
  const rows = {
    sent: counts.sent,
    acknowledged: counts.acknowledged,
    delivered: counts.delivered,
    'recovered via missed': counts.missed,
    'gaps told': counts.gaps,
    'unavailable answers': counts.unavailable,
    reconnects: counts.reconnects,
    lost: ledger.count('lost'),
    doubled: ledger.count('doubled'),
    'out of order': ledger.count('disorder'),
    'other complaints': others.length,
  };
  console.log(
    `\n${transport}, ${options.minutes} minutes, seed ${seed}, faults ${options.faults.join(', ') || 'none'}`,
  );
  for (const [name, value] of Object.entries(rows)) console.log(`  ${name.padEnd(22)}${String(value).padStart(9)}`);
  const balances = ledger.complaints.length + others.length === 0;
  if (balances && !options.keep) rmSync(logs, { recursive: true });
  else console.log(`  the gateways' logs: ${logs}`);
  console.log(balances ? 'The books balance.' : 'The books do NOT balance.');
  return balances;
}

function elapsed() {
  return `${((Date.now() - started) / 1_000).toFixed(0).padStart(4)} s`;
}

function readOptions() {
  const string = (name, value) => [name, { type: 'string', default: value }];
  const { values } = (() => {
    try {
      return parseArgs({
        options: Object.fromEntries([
          string('transport', ''),
          string('minutes', '10'),
          string('seed', '42'),
          string('rooms', '200'),
          string('rooms-each', '3'),
          string('gateways', '4'),
          string('clients', '200'),
          string('rate', '100'),
          string('fault-every', '20s'),
          string('faults', ''),
          string('show', '20'),
          ['keep', { type: 'boolean', default: false }],
          ['help', { type: 'boolean', default: false }],
        ]),
      });
    } catch (error) {
      return giveUp(`${error.message}\n\n${HELP}`);
    }
  })();
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  if (!['memory', 'redis', 'rabbitmq'].includes(values.transport)) {
    giveUp('--transport: expected redis, rabbitmq or memory (--help tells more)');
  }
  if (!existsSync(join(root, 'dist', 'apps', 'gateway', 'src', 'main.js'))) giveUp('Run "npm run build" first.');
  const number = (name, least = 1) => {
    const value = Number(values[name]);
    if (!(value >= least)) giveUp(`--${name}: expected a number from ${least}`);
    return value;
  };
  const every = /^(\d+)(ms|s)$/.exec(values['fault-every']) ?? giveUp('--fault-every: expected a time such as 20s');
  const known = faultsOf(values.transport);
  const chosen = values.faults === '' ? known : values.faults === 'none' ? [] : values.faults.split(',');
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    giveUp(`--faults: ${unknown.join(', ')} over ${values.transport}? There are ${known.join(', ')}`);
  return {
    transport: values.transport,
    minutes: number('minutes', 0.1),
    seed: number('seed', 0),
    rooms: number('rooms'),
    roomsEach: number('rooms-each'),
    // Over memory each process has rooms of its own.
    gateways: values.transport === 'memory' ? 1 : number('gateways'),
    clients: number('clients'),
    rate: number('rate'),
    faultEvery: Number(every[1]) * (every[2] === 's' ? 1_000 : 1),
    faults: chosen,
    keep: values.keep,
    show: number('show', 0),
  };
}
