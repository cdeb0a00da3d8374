/*
 * The examples as a reader runs them: installed with the packed library, two servers each, before and after; and the
 * one that changes from the old adapter to ours while it runs.
 */
import { until } from '@app/broadcast/testing';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { endAll, runNode } from './processes.js';

const root = join(__dirname, '..', '..');
const folder = mkdtempSync(join(realpathSync(tmpdir()), 'roomcast-examples-'));
const socketio = join(folder, 'examples', 'socketio');
const nest = join(folder, 'examples', 'nest');
/** The same, with the oldest versions that the package takes. */
const oldSocketio = join(folder, 'oldest', 'socketio');
const oldNest = join(folder, 'oldest', 'nest');
const OLDEST: Record<string, Record<string, string>> = {
  [oldSocketio]: { 'socket.io': '4.7.0', 'socket.io-client': '4.7.0', ioredis: '5.4.0' },
  [oldNest]: { '@nestjs/': '11.0.0', 'socket.io': '4.8.1', ioredis: '5.4.0' },
};
const clients: Socket[] = [];

const redis = { REDIS_URL: process.env['TEST_REDIS_URL'] };
const onRedis = { ...redis, BROADCAST_TRANSPORT: 'redis' };
const onRabbitmq = { RABBITMQ_URL: process.env['TEST_RABBITMQ_URL'], BROADCAST_TRANSPORT: 'rabbitmq' };

beforeAll(async () => {
  mkdirSync(join(folder, 'dist'));
  await npm(root, 'run', 'package', '--', join(folder, 'dist'));
  for (const project of [socketio, nest, oldSocketio, oldNest]) {
    cpSync(join(root, 'examples', basename(project)), project, {
      recursive: true,
      filter: (file) => !/node_modules|\bdist\b|package-lock/.test(file.slice(root.length)),
    });
    pin(join(project, 'package.json'), OLDEST[project]);
  }
  for (const pair of [
    [socketio, nest],
    [oldSocketio, oldNest],
  ]) {
    await Promise.all(pair.map((project) => npm(project, 'install', ...QUIETLY)));
  }
  await Promise.all([nest, oldNest].map((project) => npm(project, 'run', 'build')));
}, 240_000);

afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  endAll();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  ['Socket.IO before', [join(socketio, 'before.mjs')], redis],
  ['Socket.IO after, over Redis', [join(socketio, 'after.mjs')], onRedis],
  ['Socket.IO after, over RabbitMQ', [join(socketio, 'after.mjs')], onRabbitmq],
  ['Nest before', [join(nest, 'dist', 'before.js')], redis],
  ['Nest after, over Redis', [join(nest, 'dist', 'after.js')], onRedis],
  ['Nest after, over RabbitMQ', [join(nest, 'dist', 'after.js')], onRabbitmq],
  ['Socket.IO after, with the oldest versions', [join(oldSocketio, 'after.mjs')], onRedis],
  ['Nest after, with the oldest versions', [join(oldNest, 'dist', 'after.js')], onRedis],
])('the example of %s', (_name, program, environment) => {
  it('carries what is said to one server to the other, once', async () => {
    const [here, there] = await pair(program, environment);
    await Promise.all([here, there].map(({ client }) => client.timeout(5_000).emitWithAck('join', 'lobby')));
    there.client.emit('say', { room: 'lobby', text: 'Hello!' });
    await until('both hear it', () => here.heard.length > 0 && there.heard.length > 0);
    here.client.emit('say', { room: 'lobby', text: 'And back' });
    await until('both hear that', () => here.heard.length > 1 && there.heard.length > 1);
    expect([here.heard, there.heard]).toEqual([
      ['Hello!', 'And back'],
      ['Hello!', 'And back'],
    ]);
  }, 60_000);
});

describe('the example of both', () => {
  it('changes from the old adapter to ours while it runs: rooms stay, nobody is disconnected, one copy each', async () => {
    const [here, there] = await pair([join(socketio, 'both.mjs')], { ...onRabbitmq, ...redis });
    await Promise.all([here, there].map(({ client }) => client.timeout(5_000).emitWithAck('join', 'lobby')));
    there.client.emit('say', { room: 'lobby', text: 'before' });
    await until('both hear it', () => [here, there].every(({ heard }) => heard.includes('before')));
    here.client.emit('change');
    await until('both have changed', () => [here, there].every(({ output }) => output().includes('changed')));
    await until('the new adapters know each other', async () => {
      const ids = (await here.client.timeout(5_000).emitWithAck('who', 'lobby')) as string[];
      return ids.length === 2;
    });
    there.client.emit('say', { room: 'lobby', text: 'after' });
    await until('both hear that', () => [here, there].every(({ heard }) => heard.includes('after')));
    expect([here.heard, there.heard]).toEqual([
      ['before', 'after'],
      ['before', 'after'],
    ]);
    expect([here, there].map(({ losses }) => losses)).toEqual([[], []]);
  }, 60_000);
});

const QUIETLY = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];

/** Two processes of a program, with a client each. */
async function pair(program: string[], environment: NodeJS.ProcessEnv) {
  const prefix = `e${randomBytes(4).toString('hex')}.`;
  const servers = await Promise.all([1, 2].map(() => serve(program, { ...environment, BROADCAST_PREFIX: prefix })));
  return servers as [(typeof servers)[0], (typeof servers)[0]];
}

async function serve(program: string[], environment: NodeJS.ProcessEnv) {
  const server = runNode(program, { PORT: '0', ...environment });
  const port = () => /listens on (\d+)/.exec(server.output())?.[1];
  await until('it listens', () => {
    if (server.child.exitCode !== null) throw new Error(`it ended:\n${server.output()}`);
    return port() !== undefined;
  });
  const client = io(`http://127.0.0.1:${port()}`, { forceNew: true, transports: ['websocket'] });
  clients.push(client);
  const heard: string[] = [];
  const losses: string[] = [];
  client.on('said', (text: string) => heard.push(text));
  client.on('disconnect', (reason) => losses.push(reason));
  await until('the client is connected', () => client.connected);
  return { client, heard, losses, output: () => server.output() };
}

/** The versions of this repository, or older ones (of a whole scope too), so that a run today is a run tomorrow. */
function pin(file: string, older: Record<string, string> = {}): void {
  const project = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Record<string, string>>;
  for (const kind of ['dependencies', 'devDependencies']) {
    for (const name of Object.keys(project[kind] ?? {}).filter((name) => !name.startsWith('@roomcast/'))) {
      const path = join(root, 'node_modules', name, 'package.json');
      const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
      project[kind]![name] = older[name] ?? older[name.replace(/[^/]+$/, '')] ?? version;
    }
  }
  writeFileSync(file, JSON.stringify(project));
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  await promisify(execFile)('npm', args, { cwd });
}
