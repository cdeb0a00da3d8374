/*
 * Python for the example in that language, and for the schemas of Kubernetes, which a package of its carries: one virtual
 * environment, outside the repository, so that it is made once per machine.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { find, giveUp, installPackagesOfDebian, root, step } from './prerequisites.mjs';

/** Where what is installed for tests is kept. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'roomcast');
/** A virtual environment with what examples/fastapi requires: another one when that changes. */
export const environment = join(cache, `python-${hash(join(root, 'examples', 'fastapi', 'requirements.txt'))}`);
export const python = join(environment, 'bin', 'python');

const oldest = '3.10';

/** Makes the virtual environment; does nothing when it is there. */
export async function installPython() {
  const done = join(environment, 'done');
  if (existsSync(done)) return;
  const program = find('python3') ?? giveUp(`The tests need Python ${oldest} or newer: install python3.`);
  const version = `import sys; sys.exit(sys.version_info < (${oldest.replace('.', ', ')}))`;
  if (spawnSync(program, ['-c', version]).status !== 0) giveUp(`The tests need Python ${oldest} or newer.`);
  // Debian has these in a package of their own.
  const missing = spawnSync(program, ['-c', 'import ensurepip, venv'], { stdio: 'ignore' }).status !== 0;
  if (missing && find('apt-get')) await installPackagesOfDebian(['python3-venv'], 'The tests need python3-venv');
  mkdirSync(cache, { recursive: true });
  rmSync(environment, { recursive: true, force: true }); // half of one
  const advice = `The tests need Python with venv, and the packages of examples/fastapi/requirements.txt.`;
  await step('Making a virtual environment for Python', program, ['-m', 'venv', environment], advice);
  const requirements = join('examples', 'fastapi', 'requirements.txt');
  const options = ['--quiet', '--disable-pip-version-check', '--requirement', requirements];
  await step('Installing the packages of the Python example', python, ['-m', 'pip', 'install', ...options], advice);
  writeFileSync(done, '');
}

function hash(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12);
}
