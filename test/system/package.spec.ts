/*
 * The library as its users have it: packed, installed into empty projects with what the README says and nothing else,
 * and the README's examples run as they stand there.
 */
import { until } from '@app/broadcast/testing';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../brokers/broker-process.js';
import { Client, endAll, runNode, type Running } from './processes.js';

const root = join(__dirname, '..', '..');
const packages = join(root, 'node_modules');
const readme = readFileSync(join(root, 'libs', 'broadcast', 'README.md'), 'utf8');
const [socketio, announcement, suite] = examples('js');
const [inCommonjs] = examples('cjs');
const [nest] = examples('ts');
const [forSocketio, besideNest] = installs();
/** With what every Nest application has. */
const forNest = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  'reflect-metadata',
  'rxjs',
  ...besideNest!,
];

const folder = mkdtempSync(join(realpathSync(tmpdir()), 'roomcast-package-'));
const bare = join(folder, 'bare');
const services = [
  { name: 'Socket.IO as ES modules', type: 'module', install: forSocketio, source: socketio, file: 'service.js' },
  { name: 'Socket.IO in CommonJS', type: 'commonjs', install: forSocketio, source: inCommonjs, file: 'service.js' },
  { name: 'Nest as ES modules', type: 'module', install: forNest, source: nest, file: 'service.ts' },
  { name: 'Nest in CommonJS', type: 'commonjs', install: forNest, source: nest, file: 'service.ts' },
].map((service) => ({ ...service, project: join(folder, service.name.replaceAll(' ', '-')) }));

beforeAll(async () => {
  await npm(root, 'run', 'package', '--', folder);
  await create(bare, 'module');
  for (const pair of [services.slice(0, 2), services.slice(2)]) {
    await Promise.all(pair.map(({ project, type, install }) => create(project, type, install)));
  }
}, 240_000);

afterAll(() => {
  endAll();
  rmSync(folder, { recursive: true, force: true });
});

describe('the package', () => {
  const content = join(bare, 'node_modules', '@roomcast', 'broadcast');
  const files = () =>
    readdirSync(content, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(content.length + 1));

  it('holds code, types and docs, and points at nothing that it lacks', () => {
    const expected = /^(package\.json|LICENSE|README\.md|docs\/.+\.(md|json)|dist\/(?!.*\.spec\.).+\.(js|d\.ts))$/;
    expect(files().filter((file) => !expected.test(file))).toEqual([]);
    expect(files()).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'dist/index.js', 'dist/nest.d.ts']));
    const references = files().flatMap((file) => {
      const text = readFileSync(join(content, file), 'utf8');
      const pattern = file.endsWith('.md') ? /\]\((?!https?:)([^)#]+)/g : /sourceMappingURL=(.+)/g;
      return [...text.matchAll(pattern)].map(([, target]) => join(content, dirname(file), target!));
    });
    expect(references.length).toBeGreaterThan(0);
    expect(references.filter((target) => !existsSync(target))).toEqual([]);
  });

  it('brings nothing of Nest and no broker library along', () => {
    expect(readdirSync(join(bare, 'node_modules'))).not.toContain('ioredis');
    for (const { project, install } of services) {
      const nested = existsSync(join(project, 'node_modules', '@nestjs'));
      expect([project, nested]).toEqual([project, install === forNest]);
    }
  });

  it.each([
    ['redis', 'ioredis'],
    ['rabbitmq', 'amqplib'],
  ])('says what to install when %s is chosen without %s', async (transport, library) => {
    const { output } = await run(
      bare,
      'missing.js',
      `import { Bus, ${transport} } from '@roomcast/broadcast';
      const bus = new Bus(${transport}());
      bus.once('error', async (error) => {
        const { code, message } = error.code === 'DRIVER_MISSING' ? error : error.cause;
        await bus.close();
        console.log(code + ': ' + message);
      });
      bus.connect().catch(() => undefined);`,
    );
    expect(output).toBe(`DRIVER_MISSING: the ${transport} transport needs ${library}: npm install ${library}`);
  });

  it('has types for ES modules and CommonJS, also where none of the optional packages is', async () => {
    const source = `import { Bus, createAdapter, redis, Rooms, type BusState } from '@roomcast/broadcast';
      import { conformance } from '@roomcast/broadcast/testing';
      export const bus = new Bus(redis({ url: 'redis://127.0.0.1' }));
      export const state: BusState = bus.state;
      bus.on('gap', (cause) => cause.message.length);
      // @ts-expect-error the types are there, and are not any
      bus.on('nothing', () => undefined);
      export { conformance, createAdapter, Rooms };`;
    writeFileSync(join(bare, 'library.ts'), source);
    writeFileSync(join(bare, 'library.cts'), source);
    await compile(bare, ['library.ts', 'library.cts'], { noEmit: true, types: ['node'], skipLibCheck: false });
    // Socket.IO brings the types of Node.
    const { project } = services[0]!;
    writeFileSync(join(project, 'typed.ts'), socketio!);
    await compile(project, ['typed.ts'], { noEmit: true });
  }, 90_000);

  it('is one library, by whichever door and kind of import', async () => {
    const { output } = await run(
      services[3]!.project,
      'doors.js',
      `import('@roomcast/broadcast').then(({ Bus }) =>
        console.log(['', '/nest'].map((door) => require('@roomcast/broadcast' + door).Bus === Bus)));`,
    );
    expect(output).toBe('[ true, true ]');
  });

  it('lets authors of transports run the conformance suite', async () => {
    writeFileSync(join(bare, 'memory.spec.js'), suite!);
    const jest = ['--experimental-vm-modules', join(packages, 'jest', 'bin', 'jest.js')];
    const { code, output } = await ended(runNode([...jest, '--rootDir', bare, '--config', '{"transform":{}}']));
    expect({ code, output }).toEqual({
      code: 0,
      output: expect.stringMatching(/Tests: +\d+ passed, \d+ total/) as string,
    });
  }, 60_000);
});

describe.each(services)('the example for $name', ({ project, source, file }) => {
  const environment = { REDIS_URL: process.env['TEST_REDIS_URL'] };
  const clients: Client[] = [];
  const instances: Running[] = [];
  let room: string;

  beforeAll(async () => {
    writeFileSync(join(project, file), source!);
    if (file.endsWith('.ts'))
      await compile(project, [file], { experimentalDecorators: true, emitDecoratorMetadata: true });
    for (const port of [await freePort(), await freePort()]) {
      instances.push(runNode([join(project, 'service.js')], { ...environment, PORT: String(port) }));
      clients.push(new Client(`http://127.0.0.1:${port}`, undefined, { reconnectionDelay: 100 }));
    }
    room = `p${randomBytes(4).toString('hex')}`;
    await Promise.all(clients.map((client) => client.ask('join', room)));
  }, 60_000);
  afterAll(() => Promise.all(instances.map((instance) => instance.end('SIGTERM'))));

  it('is one service in two processes', async () => {
    const [ann, bob] = clients as [Client, Client];
    ann.socket.emit('say', { room, text: 'from one' });
    await until('both hear ann', () => clients.every(({ chats }) => chats.length === 1));
    bob.socket.emit('say', { room, text: 'from the other' });
    await until('both hear bob', () => clients.every(({ chats }) => chats.length === 2));
    for (const { chats } of clients) expect(chats).toEqual(['from one', 'from the other']);
    for (const instance of instances) expect(instance.output()).not.toMatch(/warning|error/i);
  });

  if (source === socketio) {
    it('hears a process without sockets', async () => {
      await Promise.all(clients.map((client) => client.ask('join', '123')));
      expect(await run(project, 'announce.js', announcement!, environment)).toEqual({ code: 0, output: '' });
      await until('both hear it', () => clients.every(({ chats }) => chats.at(-1) === 'Back at noon'));
    });
  }
});

/** The README's examples in one language. */
function examples(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code!);
}

/** What the README's install commands name, beside the package itself. */
function installs(): string[][] {
  return [...readme.matchAll(/^npm install @roomcast\/broadcast (.+)$/gm)].map(([, names]) => names!.split(' '));
}

/** A project with the package and these others, in the versions that this repository uses. */
async function create(project: string, type: string, names: readonly string[] = []): Promise<void> {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type }));
  const tarball = readdirSync(folder).find((file) => file.endsWith('.tgz'))!;
  const others = names.map((name) => `${name}@${versionOf(name)}`);
  await npm(project, 'install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball), ...others);
}

function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8')) as { version: string }).version;
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  await promisify(execFile)('npm', args, { cwd });
}

/** Compiles with this repository's compiler, as users do. */
async function compile(project: string, files: readonly string[], options: object): Promise<void> {
  const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, skipLibCheck: true, ...options };
  const typeRoots = [join(packages, '@types')];
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...compilerOptions, typeRoots }, files }),
  );
  const compiler = join(packages, 'typescript', 'bin', 'tsc');
  expect(await ended(runNode([compiler, '-p', project]))).toEqual({ code: 0, output: '' });
}

/** Runs a program inside a project to its end. */
async function run(project: string, file: string, source: string, environment = {}) {
  writeFileSync(join(project, file), source);
  return ended(runNode([join(project, file)], environment));
}

/** Waits for the end of what it prints too. */
async function ended({ child, output }: Running): Promise<{ code: number | null; output: string }> {
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: output().trim() };
}
