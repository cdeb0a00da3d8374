/*
 * The examples as their READMEs have them run: installed beside the packed library, two servers each, before and
 * after; the one that changes its adapter meanwhile; the same with the oldest versions that the library works with; and
 * docs/migrating.md, which shows in what they differ.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../brokers/broker-process.js';
import { endAll, runNode, type Client } from '../system/processes.js';
import {
  ended,
  install,
  npm,
  oldestOf,
  pack,
  packages,
  projectsFolder,
  root,
  serve,
  versionOf,
  type Served,
} from '../system/projects.js';

interface Manifest {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies?: Record<string, string>;
}

const folder = projectsFolder('examples');
const socketio = 'examples/plain-socketio';
const nest = 'examples/nest-existing-app';
const oldSocketio = 'oldest/plain-socketio';
const oldNest = 'oldest/nest-existing-app';

const redis = { REDIS_URL: process.env['TEST_REDIS_URL'] };
const onRedis = { ...redis, BROADCAST_TRANSPORT: 'redis' };
const onRabbitmq = { RABBITMQ_URL: process.env['TEST_RABBITMQ_URL'], BROADCAST_TRANSPORT: 'rabbitmq' };

/** Nest's microservices, which the examples do without. */
const MESSAGES = `
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import * as broadcast from '@roomcast/broadcast/nest';
import { lastValueFrom } from 'rxjs';

@Controller()
class Orders {
  @broadcast.OnBroadcast('order.*')
  onOrder(@Ctx() context: broadcast.BroadcastContext) {
    console.log(context.getSubject());
  }

  @MessagePattern('order.total', broadcast.BROADCAST_TRANSPORT)
  total(@Payload() price: number) {
    return price * 2;
  }
}

@Module({
  imports: [broadcast.BroadcastModule.forRoot({ transport: broadcast.memory() })],
  controllers: [Orders],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error'] });
app.connectMicroservice({ strategy: new broadcast.BroadcastServer(app.get(broadcast.Bus)) });
await app.startAllMicroservices();
const client = app.get(broadcast.BroadcastClient);
client.emit('order.created', {});
console.log(await lastValueFrom(client.send('order.total', 21)));
await app.close();
`;

beforeAll(async () => {
  for (const name of ['dist', 'node_modules']) mkdirSync(join(folder, name));
  await pack(join(folder, 'dist'));
  // What client.mjs needs is the repository's; the servers get what their package.json says, and nothing else.
  symlinkSync(join(packages, 'socket.io-client'), join(folder, 'node_modules', 'socket.io-client'));
  const isSource = (file: string) => !/node_modules|\bdist\b/.test(file.slice(root.length));
  for (const name of ['examples', 'oldest']) {
    cpSync(join(root, 'examples'), join(folder, name), { recursive: true, filter: isSource });
  }
  writeFileSync(join(folder, oldNest, 'src', 'messages.ts'), MESSAGES);
  for (const pair of [
    [socketio, nest],
    [oldSocketio, oldNest],
  ]) {
    pair.forEach(pin);
    await Promise.all(pair.map((project) => install(join(folder, project))));
  }
  await Promise.all([nest, oldNest].map((project) => npm(join(folder, project), 'run', 'build')));
}, 240_000);

afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([
  [socketio, 'before', 'Redis', redis],
  [socketio, 'after', 'Redis', onRedis],
  [socketio, 'after', 'RabbitMQ', onRabbitmq],
  [nest, 'before', 'Redis', redis],
  [nest, 'after', 'Redis', onRedis],
  [nest, 'after', 'RabbitMQ', onRabbitmq],
  [oldSocketio, 'after', 'Redis', onRedis],
  [oldNest, 'after', 'Redis', onRedis],
])('%s is one service in two processes: %s, over %s', async (project, script, _broker, environment) => {
  const servers = await start(project, script, environment);
  const clients = servers.map(({ client }) => client);
  await enter(clients);
  await talk(clients);
  const { code, output } = await runClient(servers);
  expect([code, output]).toEqual([0, expect.stringMatching(/^heard: Hello!\nin the room: \S{20}, \S{20}$/)]);
  for (const { output } of servers) expect(output()).not.toMatch(/warning|error/i);
});

it.each([socketio, nest])('%s is one process on memory, when nothing says otherwise', async (project) => {
  const [server] = await start(project, 'after', {}, 1);
  const clients = [server.client, server.visit()];
  await enter(clients);
  await talk(clients);
});

it('carries internal messages with Nest in its oldest version', async () => {
  expect(await ended(runNode([join(folder, oldNest, 'dist', 'messages.js')]))).toEqual({
    code: 0,
    output: 'order.created\n42',
  });
});

it.each([
  [socketio, 'Redis', onRedis],
  [socketio, 'RabbitMQ', { ...redis, ...onRabbitmq }],
  [oldSocketio, 'Redis', onRedis],
  [nest, 'Redis', onRedis],
  [oldNest, 'Redis', onRedis],
])('%s changes to %s meanwhile: all stay where they are, and hear everything once', async (project, _to, given) => {
  const environment = { ...given, BROADCAST_PREFIX: prefix() };
  const servers = await start(project, 'both', environment);
  const early = servers.map(({ client }) => client);
  const lost: string[] = [];
  for (const { socket } of early) socket.on('disconnect', (reason) => lost.push(reason));
  await enter(early);
  await talk(early);
  const { code, output } = await runClient(servers, 'change');
  expect([code, output]).toEqual([0, expect.stringMatching(/^change: all servers have changed\nheard: Hello!/)]);
  for (const server of servers) expect(adapters(server)).toEqual(['RedisAdapter', 'BroadcastAdapter']);
  const [started] = await start(project, 'both', { ...environment, ADAPTER: 'roomcast' }, 1);
  const late = [...servers.map((server) => server.visit()), started.client];
  await enter(late);
  await talk([...early, ...late]);
  // Told again, all stay as they are.
  expect(await runClient([started, servers[0]], 'change')).toMatchObject({ code: 0 });
  await talk([...early, ...late]);
  expect(adapters(started).at(-1)).toBe('BroadcastAdapter');
  for (const server of servers) expect(adapters(server)).toHaveLength(2);
  expect(lost).toEqual([]);
});

it('changes where one server does not answer, which is then told by itself', async () => {
  const servers = await start(socketio, 'both', onRedis);
  const clients = servers.map(({ client }) => client);
  await enter(clients);
  await talk(clients);
  const [first, frozen] = servers;
  frozen.child.kill('SIGSTOP');
  const { output } = await runClient([first, first], 'change');
  frozen.child.kill('SIGCONT');
  expect(output).toMatch(/^change: tell each server by itself \(timeout reached.*\)\nheard: Hello!/);
  expect(await runClient([frozen, first], 'change')).toMatchObject({ code: 0 });
  for (const server of servers) expect(adapters(server)).toEqual(['RedisAdapter', 'BroadcastAdapter']);
  await talk(clients);
});

describe('the client', () => {
  it('says so when its servers are not on one broker', async () => {
    const servers = await start(socketio, 'after', {});
    await enter(servers.map(({ client }) => client));
    for (const { output } of servers) expect(output()).toMatch(/^connected over memory\nlistens on \d+/);
    const { code, output } = await runClient(servers);
    expect([code, output]).toEqual([1, expect.stringMatching(/: the servers are not on one broker\. Compare .+\.$/)]);
  });

  it('says where no server listens', async () => {
    const port = await freePort();
    const { code, output } = await ended(runNode([join(folder, 'examples', 'client.mjs'), String(port)]));
    const message = new RegExp(`^No server answers at http://127.0.0.1:${port} \\(.+\\): start one there, or .+\\.$`);
    expect([code, output]).toEqual([1, expect.stringMatching(message)]);
  });
});

describe('docs/migrating.md', () => {
  const text = readFileSync(join(root, 'docs', 'migrating.md'), 'utf8');
  const blocks = (language: string) =>
    [...text.matchAll(new RegExp(`^ *\`\`\`${language}\\n(.*?)^ *\`\`\``, 'gms'))].map(([, block]) => linesOf(block!));
  const [ofSocketio, ofNest] = blocks('diff').map((diff) => diff.filter((line) => !line.startsWith(' ')));

  it('shows in what before and after differ: all of it for Socket.IO', () => {
    expect(ofSocketio!.sort()).toEqual(differing('plain-socketio/before.mjs', 'plain-socketio/after.mjs').sort());
    expect(differing('nest-existing-app/src/before.ts', 'nest-existing-app/src/after.ts')).toEqual(
      expect.arrayContaining(ofNest!),
    );
  });

  it('shows how both are had at once, in Nest too', () => {
    const [[change], [changeInNest]] = [blocks('js'), blocks('ts')];
    for (const block of [change, changeInNest]) expect(block!.length).toBeGreaterThan(5);
    expect(sourceOf('plain-socketio/both.mjs')).toEqual(expect.arrayContaining(change!));
    expect(sourceOf('nest-existing-app/src/both.ts')).toEqual(expect.arrayContaining(changeInNest!));
  });
});

/** As the scripts of its package.json do, but without npm in between, which passes no signal on. */
function start(project: string, script: string, environment: NodeJS.ProcessEnv, processes = 2) {
  const [, program] = /^node (\S+)$/.exec(manifestOf(project).scripts[script]!)!;
  return serve([join(folder, project, program!)], { BROADCAST_PREFIX: prefix(), ...environment }, processes);
}

function prefix(): string {
  return `e${randomBytes(4).toString('hex')}.`;
}

/** The adapters that a server has said it uses, one after the other. */
function adapters({ output }: Served): string[] {
  return [...output().matchAll(/^uses (.+)$/gm)].map(([, name]) => name!);
}

async function enter(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.ask('join', 'r')));
}

/** Each says something, all hear it once, and the servers know all of them. */
async function talk(clients: readonly Client[]): Promise<void> {
  const said = (client: Client) => client.dataOf('said');
  const earlier = clients.map(said);
  const texts = clients.map(() => randomBytes(4).toString('hex'));
  for (const [index, text] of texts.entries()) {
    clients[index]!.socket.emit('say', { room: 'r', text });
    await until(`all hear "${text}"`, () => clients.every((client) => said(client).includes(text)));
  }
  const all = clients.map(({ socket }) => socket.id).sort();
  await until('each server knows them all', async () => {
    const known = await Promise.all(clients.map((client) => client.ask<string[]>('who', 'r')));
    return known.every((ids) => ids.sort().join() === all.join());
  });
  expect(clients.map(said)).toEqual(earlier.map((before) => [...before, ...texts]));
}

/** The client of the READMEs, with what follows the ports. */
function runClient(servers: readonly Served[], ...more: string[]) {
  const program = join(folder, 'examples', 'client.mjs');
  return ended(runNode([program, ...servers.map(({ port }) => String(port)), ...more]));
}

/** Lines of two files that are in one of them only, as a diff marks them. */
function differing(before: string, after: string): string[] {
  const [old, ours] = [sourceOf(before), sourceOf(after)];
  return [
    ...old.filter((line) => !ours.includes(line)).map((line) => `-${line}`),
    ...ours.filter((line) => !old.includes(line)).map((line) => `+${line}`),
  ];
}

/** What a file consists of after its heading. */
function sourceOf(file: string): string[] {
  return linesOf(readFileSync(join(root, 'examples', file), 'utf8').replace(/^\/\*.*?\*\/\n/s, ''));
}

/** Without what indents them all. */
function linesOf(text: string): string[] {
  const indent = /^ */.exec(text)![0];
  return text
    .split('\n')
    .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
    .filter((line) => line.trim() !== '');
}

function manifestOf(project: string): Manifest {
  return JSON.parse(readFileSync(join(folder, project, 'package.json'), 'utf8')) as Manifest;
}

/** Exact versions, instead of the newest. */
function pin(project: string): void {
  const manifest = manifestOf(project);
  const version = project.startsWith('oldest/') ? oldestOf : versionOf;
  for (const kind of [manifest.dependencies, manifest.devDependencies ?? {}]) {
    for (const name of Object.keys(kind)) if (!name.startsWith('@roomcast/')) kind[name] = version(name);
  }
  writeFileSync(join(folder, project, 'package.json'), JSON.stringify(manifest));
}
