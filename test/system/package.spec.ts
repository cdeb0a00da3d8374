/*
 * The library as its users have it: packed, installed into empty projects with what the README says and nothing else,
 * and the README's examples run as they stand there.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { endAll, runNode } from './processes.js';
import { ended, install, pack, packages, projectsFolder, root, serve, versionOf, type Served } from './projects.js';

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

const folder = projectsFolder('package');
const bare = join(folder, 'bare');
const services = [
  { name: 'Socket.IO as ES modules', type: 'module', names: forSocketio!, source: socketio, file: 'service.js' },
  { name: 'Socket.IO in CommonJS', type: 'commonjs', names: forSocketio!, source: inCommonjs, file: 'service.js' },
  { name: 'Nest as ES modules', type: 'module', names: forNest, source: nest, file: 'service.ts' },
  { name: 'Nest in CommonJS', type: 'commonjs', names: forNest, source: nest, file: 'service.ts' },
].map((service) => ({ ...service, project: join(folder, service.name.replaceAll(' ', '-')) }));
let tarball: string;

beforeAll(async () => {
  tarball = await pack(folder);
  await create(bare, 'module');
  for (const pair of [services.slice(0, 2), services.slice(2)]) {
    await Promise.all(pair.map(({ project, type, names }) => create(project, type, names)));
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
    for (const { project, names } of services) {
      const nested = existsSync(join(project, 'node_modules', '@nestjs'));
      expect([project, nested]).toEqual([project, names === forNest]);
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
      bus.connect(2 ** 30).catch(({ code, message }) => console.log(code + ': ' + message));`,
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
  let served: [Served, Served, ...Served[]];
  let room: string;

  beforeAll(async () => {
    writeFileSync(join(project, file), source!);
    if (file.endsWith('.ts'))
      await compile(project, [file], { experimentalDecorators: true, emitDecoratorMetadata: true });
    served = await serve([join(project, 'service.js')], environment);
    room = `p${randomBytes(4).toString('hex')}`;
    await Promise.all(served.map(({ client }) => client.ask('join', room)));
  }, 60_000);
  afterAll(() => Promise.all(served.map((instance) => instance.end('SIGTERM'))));

  it('is one service in two processes', async () => {
    const [ann, bob] = served;
    ann.client.socket.emit('say', { room, text: 'from one' });
    await until('both hear ann', () => served.every(({ client }) => client.chats.length === 1));
    bob.client.socket.emit('say', { room, text: 'from the other' });
    await until('both hear bob', () => served.every(({ client }) => client.chats.length === 2));
    for (const { client } of served) expect(client.chats).toEqual(['from one', 'from the other']);
    for (const { output } of served) expect(output()).not.toMatch(/warning|error/i);
  });

  if (source === socketio) {
    it('hears a process without sockets', async () => {
      await Promise.all(served.map(({ client }) => client.ask('join', '123')));
      expect(await run(project, 'announce.js', announcement!, environment)).toEqual({ code: 0, output: '' });
      await until('both hear it', () => served.every(({ client }) => client.chats.at(-1) === 'Back at noon'));
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
  await install(project, tarball, ...names.map((name) => `${name}@${versionOf(name)}`));
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
