// `npm start`: installs, builds, and runs two gateways and a worker. On the embedded transport the three live in this
// process; over a broker they are processes of their own.
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkNode, installPackages } from './prerequisites.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const began = Date.now();

checkNode();
await installPackages();
build();

const { APP_DEFAULTS, Bus, readEnvironment, transportOf } = await import('../dist/libs/broadcast/src/index.js');
const environment = settings();
const ports = [environment.PORT, environment.PORT + 1];
await checkPorts();
await checkBroker();
step(`starting two gateways and a worker over ${environment.BROADCAST_TRANSPORT}`);
if (environment.BROADCAST_TRANSPORT === 'memory') await startHere();
else startProcesses();
await Promise.all(ports.map(untilReady));
await show();

/** Three applications in this process, on one embedded transport. */
async function startHere() {
  const { startGateway } = await import('../dist/apps/gateway/src/gateway.js');
  const { startWorker } = await import('../dist/apps/worker/src/worker.js');
  const transport = transportOf(environment);
  const started = [];
  onEnd(async () => {
    await Promise.all(started.map(({ app }) => app.close()));
    process.exit();
  });
  try {
    started.push(await startWorker({ ...environment, INSTANCE_ID: 'worker-1' }, transport));
    for (const [index, PORT] of ports.entries()) {
      started.push(await startGateway({ ...environment, PORT, INSTANCE_ID: `gateway-${index + 1}` }, transport));
    }
  } catch (error) {
    stop(error.code === 'BAD_REQUEST' ? error.message : error);
  }
}

/** A process each. When one ends by itself, the others are stopped too. */
function startProcesses() {
  const names = ['worker-1', 'gateway-1', 'gateway-2'];
  const children = new Map(names.map((name) => [name, run(name)]));
  let stopping = false;
  const end = () => {
    stopping = true;
    for (const child of children.values()) child.kill('SIGTERM');
  };
  onEnd(end);
  for (const [name, child] of children) {
    child.on('exit', (code, signal) => {
      children.delete(name);
      if (!stopping) {
        console.error(`${name} ended with ${signal ?? `code ${code}`}: stopping the others.`);
        process.exitCode = 1;
        end();
      }
      if (children.size === 0) process.exit();
    });
  }
}

function run(INSTANCE_ID) {
  const [app, number] = INSTANCE_ID.split('-');
  const env = { LOG_LEVEL: 'warn', ...process.env, INSTANCE_ID, ...(app === 'gateway' && { PORT: ports[number - 1] }) };
  return spawn(process.execPath, [`dist/apps/${app}/src/main.js`], { env, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Ctrl-C, a signal, or the end of whoever started this: npm does not pass a SIGTERM on. */
function onEnd(end) {
  const parent = process.ppid;
  const orphaned = setInterval(() => process.ppid !== parent && end(), 500).unref();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      clearInterval(orphaned);
      end();
    });
  }
}

/** Whoever holds a port already would answer in our gateways' place. */
async function checkPorts() {
  for (const port of ports) {
    if (port < 1 || port > 65_535)
      stop('PORT: expected a port from 1 to 65534, since the second gateway takes the next one.');
    const probe = createServer();
    const error = await new Promise((resolve) => probe.once('error', resolve).listen(port, environment.HOST, resolve));
    if (error?.code === 'EADDRINUSE') {
      stop(`PORT: ${port} on ${environment.HOST} is in use: stop what uses it, or choose another.`);
    }
    if (!error) await new Promise((resolve) => probe.close(resolve));
  }
}

/** Three processes would each say that they wait for it. */
async function checkBroker() {
  const { BROADCAST_TRANSPORT: name } = environment;
  if (name === 'memory') return;
  const bus = new Bus(transportOf(environment));
  const refused = new Promise((resolve) => bus.once('error', resolve));
  const error = await Promise.race([bus.connect().then(() => undefined), refused]).catch((thrown) => thrown);
  await bus.close();
  if (!error) return;
  const why = (error.cause ?? error).message;
  const setting = `${name.toUpperCase()}_URL`;
  stop(`${setting}: ${why}. Start that broker, or set another address; npm run roomcast -- doctor says more.`);
}

/** Waits for a gateway to be ready, and says why that takes long. */
async function untilReady(port) {
  for (let waited = 0; ; waited += 200) {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
    if (answer?.ok) return;
    if (waited > 0 && waited % 10_000 === 0) {
      const state = answer ? `its broker is ${(await answer.json()).broker.state}` : 'it does not answer yet';
      step(`still waiting for the gateway on port ${port}: ${state}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** One message from a client of the first gateway to a client of the second, to be seen. */
async function show() {
  const { io } = await import('socket.io-client');
  const [ann, bob] = ports.map((port, index) =>
    io(`http://127.0.0.1:${port}`, { auth: { user: ['ann', 'bob'][index] }, transports: ['websocket'] }),
  );
  try {
    const room = { room: 'welcome' };
    for (const socket of [ann, bob]) expectOk(await socket.timeout(10_000).emitWithAck('room:join', room));
    const heard = new Promise((resolve) => bob.once('chat', (data, meta) => resolve({ data, meta })));
    const saidAt = performance.now();
    expectOk(await ann.timeout(10_000).emitWithAck('room:send', { ...room, event: 'chat', data: { text: 'Hello!' } }));
    const { data, meta } = await heard;
    const took = (performance.now() - saidAt).toFixed(1);
    step(`${meta.from} said "${data.text}" to gateway 1, bob heard it from gateway 2 after ${took} ms`);
  } catch (error) {
    step(`the gateways run, but a message from one to the other did not arrive: ${error.message}`);
  } finally {
    ann.close();
    bob.close();
  }
  console.log(`
  gateway 1   http://127.0.0.1:${ports[0]}
  gateway 2   http://127.0.0.1:${ports[1]}
  worker      on the same bus (${environment.BROADCAST_TRANSPORT})

See it: one page with a pane on each gateway. What one says the other hears; cut a line, and see what comes back:

  http://127.0.0.1:${ports[0]}/?panes=${ports.join(',')}&room=welcome

Or in two more terminals:

  npm run chat -- --user ann --port ${ports[0]}
  npm run chat -- --user bob --port ${ports[1]}

Ctrl-C stops everything.`);
}

function expectOk(answer) {
  if (!answer.ok) throw new Error(answer.error.message);
}

/** Builds when there is no build, or a source is newer than it. */
function build() {
  if (newest(['apps', 'libs', 'package.json', 'tsconfig.json']) < mtime('dist/apps/worker/src/main.js')) return;
  step('building');
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'build'], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status !== 0) stop(`The build failed:\n${stdout}${stderr}`);
}

function newest(paths) {
  return Math.max(
    ...paths.map((path) =>
      statSync(path).isDirectory() ? newest(readdirSync(path).map((name) => join(path, name))) : mtime(path),
    ),
  );
}

function mtime(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function settings() {
  try {
    return readEnvironment(process.env, { ...APP_DEFAULTS, LOG_LEVEL: 'warn' });
  } catch (error) {
    return stop(error.message);
  }
}

function step(what) {
  console.log(`[${((Date.now() - began) / 1_000).toFixed(1)} s] ${what}`);
}

function stop(why) {
  console.error(why);
  process.exit(1);
}
