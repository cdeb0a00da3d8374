/*
 * What has to be there before anything of this repository can run: Node, the npm packages, and for tests the two
 * brokers and a browser. Imports nothing but Node's own modules, because it is what installs the rest.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const oldestNode = [20, 19];

/** Ends the process with a sentence instead of a stack trace. */
export function giveUp(sentence, code = 1) {
  console.error(sentence);
  process.exit(code);
}

/** Gives up on a Node that is too old. */
export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return;
  giveUp(`Roomcast needs Node ${oldestNode.join('.')} or newer, and this is Node ${version}.`);
}

/** Brings node_modules up to what package-lock.json says; does nothing when it is. */
export async function installPackages() {
  const lock = join(root, 'package-lock.json');
  const installed = join(root, 'node_modules', '.package-lock.json'); // the last thing npm writes
  if (existsSync(installed) && (!existsSync(lock) || changedAt(installed) >= changedAt(lock))) return;
  // Development packages even with NODE_ENV=production: the build and the tests need them.
  const options = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  await step('Installing the npm packages', 'npm', ['ci', ...options]);
}

/** What the tests run, by the name of its Debian package: programs, any of which will do, and the arguments of Homebrew. */
const programs = {
  'redis-server': { any: ['redis-server'], brew: ['redis'] },
  'rabbitmq-server': { any: ['rabbitmq-server'], brew: ['rabbitmq'] },
  chromium: {
    any: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'Chromium', 'Google Chrome'],
    brew: ['--cask', 'chromium'],
  },
};

/** Finds the brokers and a browser, and installs what is missing with apt-get or Homebrew. */
export async function installPrograms() {
  const missing = () => Object.keys(programs).filter((name) => !programs[name].any.some(find));
  if (missing().length === 0) return;
  const names = missing().join(' and ');
  const byHand = `Install ${names} with your package manager (those are Debian's names), then run this again.`;
  if (find('apt-get')) {
    await installPackagesOfDebian(missing(), `The tests need ${names}`, byHand);
  } else if (find('brew')) {
    for (const name of missing()) {
      await step(`Installing ${name} with Homebrew`, 'brew', ['install', '--quiet', ...programs[name].brew], byHand);
    }
  }
  if (missing().length > 0) giveUp(`The tests need ${missing().join(' and ')}. ${byHand}`);
}

/**
 * Installs packages of Debian.
 *
 * @param {string[]} packages
 * @param {string} why a sentence without its end
 * @param {string} byHand what to do if it fails
 */
export async function installPackagesOfDebian(packages, why, byHand = '') {
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  if (sudo.length > 0 && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status !== 0) {
    giveUp(`${why}, and installing needs root: sudo apt-get install ${packages.join(' ')}`);
  }
  const [command, ...args] = [...sudo, 'sh', '-c', debianInstall, 'sh', ...packages];
  await step(`Installing ${packages.join(' and ')} with apt-get`, command, args, byHand);
}

/**
 * Runs a command under a heading line with the time it took. Shows its output only if it fails, and then gives up.
 *
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {string} advice what to do if it fails
 * @param {Record<string, string>} env variables besides those of this process
 */
export async function step(title, command, args, advice = '', env = {}) {
  const { code, output } = await attempt(title, command, args, env);
  if (code === 0) return;
  console.log(`\n${output.trim()}\n`);
  giveUp(`Failed: ${title}. ${advice}`.trim(), code);
}

async function attempt(title, command, args, env) {
  const from = performance.now();
  process.stdout.write(`${title} … `);
  const result = await run(command, args, env);
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  console.log(`${result.code === 0 ? 'done' : 'failed'} (${seconds} s)`);
  return result;
}

// Packages of services start them when they are installed; policy-rc.d is Debian's way to say no. One that is there
// already (in containers) is left alone. A source that cannot be updated is no reason to stop: the install will tell.
const debianInstall = `
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod +x "$policy"
  fi
  apt-get update -q
  apt-get install -q -y --no-install-recommends "$@"`;

/** @returns {Promise<{ code: number; output: string }>} */
function run(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** The path of a program, if it is there. */
export function find(name) {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...['/usr/lib/rabbitmq/bin', '/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'],
    ...['Chromium', 'Google Chrome'].map((name) => `/Applications/${name}.app/Contents/MacOS`),
    ...['/opt/homebrew/bin', '/opt/homebrew/sbin', '/home/linuxbrew/.linuxbrew/bin', '/home/linuxbrew/.linuxbrew/sbin'],
  ];
  return folders.map((folder) => join(folder, name)).find(executable);
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function changedAt(path) {
  return statSync(path).mtimeMs;
}
