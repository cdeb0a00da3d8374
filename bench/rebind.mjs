// How many confirmed messages one TCP reset costs on RabbitMQ: a subscriber of N rooms is cut off, opens a new link
// at once and subscribes again, while another link publishes to those rooms. Adaptive binding against a binding per
// room and nothing else. Starts a broker of its own and leaves nothing running.
//
//   npm run build && node bench/rebind.mjs [repeats]
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { rabbitmq } from '../dist/libs/broadcast/src/transports/rabbitmq.js';

const RATE = 800;
const BIN = '/usr/lib/rabbitmq/bin';
const repeats = Number(process.argv[2] ?? 3);
const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function startBroker() {
  const dir = await mkdtemp(join(tmpdir(), 'roomcast-bench-'));
  const port = await freePort();
  await writeFile(join(dir, 'plugins'), '[].');
  const env = {
    PATH: process.env.PATH,
    HOME: dir,
    RABBITMQ_NODENAME: `bench${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(await freePort()),
    ERL_EPMD_PORT: String(await freePort()),
    ERL_EPMD_RELAXED_COMMAND_CHECK: '1', // lets us stop the port mapper that the broker leaves behind
    RABBITMQ_MNESIA_BASE: join(dir, 'data'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_PID_FILE: join(dir, 'pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'plugins'),
  };
  const server = spawn(`${BIN}/rabbitmq-server`, { env, stdio: 'ignore', detached: true });
  const stop = async () => {
    const gone = server.exitCode === null ? once(server, 'exit') : undefined;
    try {
      process.kill(-server.pid, 'SIGTERM');
      await gone;
      execFileSync('epmd', ['-kill'], { env, stdio: 'ignore' });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  };
  try {
    execFileSync(`${BIN}/rabbitmqctl`, ['wait', '--timeout', '60', env.RABBITMQ_PID_FILE], { env, stdio: 'ignore' });
    return { port, stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

/** A line to the broker that can be cut: both ends get a reset. */
async function startGate(target) {
  const sockets = new Set();
  const couple = (from, to) => {
    sockets.add(from);
    from.setNoDelay().pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => sockets.delete(from) && to.destroy());
  };
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    couple(near, far);
    couple(far, near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => sockets.forEach((socket) => (socket.writableEnded ? socket.destroy() : socket.resetAndDestroy()));
  return { port: server.address().port, cut, stop: () => (cut(), server.close()) };
}

async function measure(broker, rooms, adaptive) {
  const gate = await startGate(broker.port);
  const channels = Array.from({ length: rooms }, (_, i) => `room:bench:${i}`);
  const options = { prefix: 'bench.', adaptive, maxBindings: 10_000 };
  const heard = new Set();
  const confirmed = [];
  const open = (port, instance, lost) => {
    const events = { message: (_, payload) => heard.add(String(payload)), lost, blocked: () => {} };
    const transport = rabbitmq({ ...options, url: `amqp://127.0.0.1:${port}` });
    return transport.open(events, { instance, signal: new AbortController().signal });
  };
  const listen = async (lost) => {
    const link = await open(gate.port, 'listener', lost);
    await link.subscribe(channels);
    return link;
  };
  let lose;
  const lost = new Promise((resolve) => (lose = resolve));
  await listen(lose);
  const publisher = await open(broker.port, 'publisher', () => {});
  await pause(1500 + rooms / 2); // until the single bindings are there

  const start = performance.now();
  let sent = 0;
  const ticker = setInterval(() => {
    for (const due = ((performance.now() - start) / 1000) * RATE; sent < due; sent++) {
      const id = String(sent);
      const published = publisher.publish(channels[(sent * 7919) % rooms], Buffer.from(id));
      published.then(() => confirmed.push(id), console.error);
    }
  }, 5);
  await pause(1000);
  gate.cut();
  await lost;
  const since = performance.now();
  const link = await listen(() => {});
  const backAfter = performance.now() - since;
  await pause(1000);
  clearInterval(ticker);
  await pause(1000);
  await Promise.all([publisher.close(), link.close()]);
  gate.stop();
  return { confirmed: confirmed.length, lost: confirmed.filter((id) => !heard.has(id)).length, backAfter };
}

console.log(`${new Date().toISOString().slice(0, 10)}, node ${process.version}, ${cpus().length} × ${cpus()[0].model}`);
const broker = await startBroker();
process.once('SIGINT', () => broker.stop().finally(() => process.exit(130)));
try {
  const table = [];
  for (const rooms of [1000, 5000]) {
    for (const adaptive of [false, true]) {
      const runs = [];
      for (let run = 0; run < repeats; run++) {
        runs.push(await measure(broker, rooms, adaptive));
        console.log(JSON.stringify({ rooms, adaptive, ...runs.at(-1) }));
      }
      const of = (key) => Math.round(median(runs.map((run) => run[key])));
      table.push({ rooms, adaptive, confirmed: of('confirmed'), lost: of('lost'), 'back after ms': of('backAfter') });
    }
  }
  console.table(table);
} finally {
  await broker.stop();
}
