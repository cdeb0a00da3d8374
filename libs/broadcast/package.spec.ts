import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from './src/version.js';

interface Package {
  version: string;
  license: string;
  engines: Record<string, string>;
  exports: Record<string, { default: string } | string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
}

const read = (path: string) => readFileSync(join(__dirname, path), 'utf8');
const library = JSON.parse(read('package.json')) as Package;
const repository = JSON.parse(read('../../package.json')) as Package;

describe('the package of the library', () => {
  it('has one version, in the code, in both package.json and in what is said about its file', () => {
    expect([VERSION, library.version]).toEqual([repository.version, repository.version]);
    for (const folder of ['.', '../..', '../../examples/plain-socketio', '../../examples/nest-existing-app']) {
      expect(read(`${folder}/README.md`).match(/roomcast-broadcast-.+?\.tgz/g)).toEqual([
        `roomcast-broadcast-${VERSION}.tgz`,
      ]);
    }
  });

  it('has the licence and needs the Node of the repository', () => {
    const { license, engines } = repository;
    expect(library).toMatchObject({ license, engines });
  });

  it('takes the versions that are tested here, and older ones only where test/examples/ has them', () => {
    const ranges = { ...library.dependencies, ...library.peerDependencies };
    const tested = Object.keys(ranges).map((name) => [name, rangeOf(name)]);
    const older: Record<string, string> = {
      '@nestjs/common': '^11.0.0 || ^12.1.1',
      '@nestjs/core': '^11.0.0 || ^12.1.1',
      '@nestjs/microservices': '^11.0.0 || ^12.1.1',
      '@nestjs/platform-socket.io': '^11.0.0 || ^12.1.1',
      ioredis: '^5.4.0 || ^6.0.0',
      'socket.io': '^4.7.0',
    };
    expect(ranges).toEqual({ ...Object.fromEntries(tested), ...older });
  });

  it.each(['plain-socketio', 'nest-existing-app'])(
    'is what the example of %s asks for, with the versions that are tested',
    (name) => {
      const { dependencies, devDependencies } = JSON.parse(read(`../../examples/${name}/package.json`)) as Package;
      const { '@roomcast/broadcast': file, ...others } = { ...dependencies, ...devDependencies };
      expect(file).toBe(`file:../../dist/roomcast-broadcast-${VERSION}.tgz`);
      expect(others).toEqual(Object.fromEntries(Object.keys(others).map((each) => [each, rangeOf(each)])));
    },
  );

  it('makes nobody install what is only for some', () => {
    const optional = Object.keys(library.peerDependencies).map((name) => [name, { optional: true }]);
    expect(library.peerDependenciesMeta).toEqual(Object.fromEntries(optional));
  });

  it('opens doors that have a source', () => {
    for (const target of Object.values(library.exports)) {
      if (typeof target === 'string') continue;
      const source = target.default.replace('/dist/', '/src/').replace(/\.js$/, '.ts');
      expect([source, existsSync(join(__dirname, source))]).toEqual([source, true]);
    }
  });
});

/** What is tested. Socket.IO's is exact in the repository, because Nest's is, and a second copy would not do. */
function rangeOf(name: string): string | undefined {
  return { ...repository.dependencies, ...repository.devDependencies }[name]?.replace(/^\d/, '^$&');
}
