/*
 * What access, limits and moderation cost: the checks of a message alone, a gateway's CPU per message with them and without,
 * and letting somebody in by a token.
 *
 *   npm run build && node bench/access.mjs [messages]
 */
import { generateKeyPair, exportJWK, SignJWT } from 'jose';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { Tokens } from '../dist/apps/gateway/src/access/tokens.js';
import { LimitsService } from '../dist/apps/gateway/src/limits/limits.service.js';
import { ModerationService } from '../dist/apps/gateway/src/moderation/moderation.service.js';
import { Patterns } from '../dist/apps/gateway/src/access/patterns.js';
import { Sessions } from '../dist/apps/gateway/src/sessions.js';
import { Bus, memory, Moderation, readEnvironment } from '../dist/libs/broadcast/src/index.js';

const MESSAGES = Number(process.argv[2] ?? 20_000);
const PAIRS = 5;
const WINDOW = 50;
const NAMES = [
  'RATE_LIMIT',
  'RATE_LIMIT_USER',
  'RATE_LIMIT_ROOM',
  'JOIN_LIMIT',
  'HANDSHAKE_RATE',
  'MAX_ROOMS_PER_SOCKET',
];
const OFF = Object.fromEntries(NAMES.map((name) => [name, 'off']));
/** All of them count, and nothing is refused. */
const ON = {
  ...Object.fromEntries(NAMES.slice(0, 5).map((name) => [name, '100000000/s'])),
  MAX_ROOMS_PER_SOCKET: '1000',
};
const secret = 'a secret of the bench that is long enough';

console.log(`Node ${process.version}\n`);
await checks();
await tokens();
await gateways();
process.exit();

async function checks() {
  const bus = new Bus(memory());
  await bus.connect();
  const moderation = new Moderation(bus);
  const sessions = new Sessions();
  const settings = readEnvironment(ON);
  const limits = new LimitsService(settings, sessions);
  const service = new ModerationService(bus, moderation, sessions, limits, settings);
  const rooms = new Patterns(['lobby', 'support:*', 'game:*']);
  const session = { identity: { user: 'ann', rooms, publish: rooms, moderate: new Patterns(false) } };
  const message = (i) => {
    limits.request(session);
    rooms.match('support:7');
    service.checkSend(session, 'support:7')(true);
    limits.message(`user${i % 1_000}`, 'support:7');
  };
  row('all checks of a message', per(message));
  for (let i = 0; i < 10_000; i++) await moderation.restrict({ kind: 'ban', user: `banned${i}`, room: 'support:7' });
  row('the same, with 10,000 bans', per(message));
  await moderation.restrict({ kind: 'mute', user: 'ann', room: 'elsewhere' });
  row('the same, muted in another room', per(message));
  await bus.close();
}

async function tokens() {
  const claims = { sub: 'ann', rooms: ['support:*'] };
  const shared = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret));
  const hs256 = new Tokens({ AUTH_JWT_SECRET: [secret] });
  row('verifying HS256', await perAsync(() => hs256.verify(shared)));
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg, kid: 'k' }] });
    const issuer = createServer((_request, response) => response.end(keys)).listen(0, '127.0.0.1');
    await pause(50);
    const verifier = new Tokens({ AUTH_JWKS_URL: `http://127.0.0.1:${issuer.address().port}` });
    const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: 'k' }).sign(privateKey);
    row(`verifying ${alg}`, await perAsync(() => verifier.verify(token)));
    issuer.close();
    issuer.closeAllConnections();
  }
}

async function gateways() {
  const [off, on] = [await gateway(OFF), await gateway(ON)];
  const ratios = [];
  for (let i = 0; i < PAIRS; i++) {
    const [without, with_] = [await off.run(), await on.run()];
    ratios.push({ without, with_, ratio: with_ / without });
  }
  const { without, with_, ratio } = ratios.sort((a, b) => a.ratio - b.ratio)[Math.floor(PAIRS / 2)];
  row('gateway, CPU of a message without limits', without);
  row('gateway, CPU of a message with all limits', with_);
  const [least, most] = [ratios[0].ratio, ratios.at(-1).ratio];
  console.log(
    `ratio ${ratio.toFixed(3)} (${least.toFixed(3)} to ${most.toFixed(3)}, ${PAIRS} pairs of ${MESSAGES} messages)`,
  );
  for (const each of [off, on]) each.end();
}

/** A process with one client, in a room without history, on the embedded transport. */
async function gateway(environment) {
  const source = `
    import { startGateway } from './dist/apps/gateway/src/gateway.js';
    import { readEnvironment } from './dist/libs/broadcast/src/index.js';
    const { url } = await startGateway(readEnvironment(process.env));
    let from = process.cpuUsage();
    process.on('message', () => { const { user, system } = process.cpuUsage(from); from = process.cpuUsage(); process.send({ cpu: user + system }); });
    process.send({ url });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    env: { ...process.env, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'fatal', HISTORY_SIZE: '0', ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const next = () => new Promise((resolve) => child.once('message', resolve));
  const { url } = await next();
  const socket = io(url, { auth: { user: 'ann' }, transports: ['websocket'] });
  await socket.emitWithAck('room:join', { room: 'r' });
  const cpu = async () => {
    const answer = next();
    child.send('cpu');
    return (await answer).cpu;
  };
  const burst = async (count) => {
    let sent = 0;
    const worker = async () => {
      while (sent++ < count) await socket.emitWithAck('room:send', { room: 'r', event: 'chat', data: 'x'.repeat(100) });
    };
    await Promise.all(Array.from({ length: WINDOW }, worker));
  };
  await burst(MESSAGES / 4);
  return {
    run: async () => {
      await cpu();
      await burst(MESSAGES);
      return (await cpu()) / MESSAGES;
    },
    end: () => {
      socket.close();
      child.kill();
    },
  };
}

function per(work, count = 1_000_000) {
  for (let i = 0; i < count / 10; i++) work(i);
  const from = performance.now();
  for (let i = 0; i < count; i++) work(i);
  return ((performance.now() - from) * 1_000) / count;
}

async function perAsync(work, count = 3_000) {
  for (let i = 0; i < count / 10; i++) await work();
  const from = performance.now();
  for (let i = 0; i < count; i++) await work();
  return ((performance.now() - from) * 1_000) / count;
}

function row(what, us) {
  console.log(`${what.padEnd(46)}${us.toFixed(2).padStart(10)} µs`);
}
