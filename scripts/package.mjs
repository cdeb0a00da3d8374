// `npm run package`: makes the library an npm package, dist/roomcast-broadcast-<version>.tgz. What the doors reach is in
// it, and the docs of the library; no sources, hence no source maps. Into another folder: `npm run package -- <folder>`.
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkNode, installPackages, root, step } from './prerequisites.mjs';

const library = join(root, 'libs', 'broadcast');
const folder = resolve(process.argv[2] ?? join(root, 'dist'));
const content = join(folder, 'package');
const { name, version, peerDependencies } = JSON.parse(readFileSync(join(library, 'package.json'), 'utf8'));

checkNode();
await installPackages();
rmSync(content, { recursive: true, force: true });
await compile();
copy();
await step('Packing', 'npm', ['pack', content, '--pack-destination', folder]);
console.log(join(folder, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`));

async function compile() {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const outDir = join(content, 'dist');
  await step('Compiling', process.execPath, [
    compiler,
    '-p',
    join(library, 'tsconfig.package.json'),
    '--outDir',
    outDir,
  ]);
  const types = readdirSync(outDir, { recursive: true }).filter((file) => file.endsWith('.d.ts'));
  for (const file of types) rewrite(join(outDir, file), allowMissing);
}

/** Types of an optional package that is not installed are `any`, instead of an error in everybody's compiler. */
function allowMissing(types) {
  const optional = Object.keys(peerDependencies).join('|');
  return types.replace(new RegExp(String.raw`^.*(from |import\()['"](${optional})['"]`, 'gm'), '// @ts-ignore\n$&');
}

/** The licence is the repository's, and so are the docs: those about the library go along. */
function copy() {
  for (const file of ['package.json', 'README.md']) cpSync(join(library, file), join(content, file));
  cpSync(join(root, 'LICENSE'), join(content, 'LICENSE'));
  for (const each of ['history.md', 'jobs.md', 'nest.md', 'protocol.md', 'vectors']) {
    cpSync(join(root, 'docs', each), join(content, 'docs', each), { recursive: true });
  }
  rewrite(join(content, 'README.md'), (text) => text.replaceAll('../../docs/', 'docs/'));
}

function rewrite(path, change) {
  writeFileSync(path, change(readFileSync(path, 'utf8')));
}
