/*
 * `npm test`: installs what is missing, then lint, types, build and tests, in this order, until one fails. Arguments
 * go to jest: `npm test -- bus`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installChartTools } from './chart-tools.mjs';
import { checkNode, installPrograms, installPackages, root, step } from './prerequisites.mjs';
import { installPython } from './python.mjs';

/** Time in which jest has to end after its last test, in ms: letting go of the shared brokers takes a second or two. */
const FAREWELL = 60_000;
/** Silence that means that jest's event loop does not turn any more, in ms. */
const SILENCE = 20_000;

checkNode();
await installPackages();
await installPrograms();
await installPython();
await installChartTools();
await step('Lint', 'npm', ['run', '--silent', 'lint']);
await step('Types', 'npm', ['run', '--silent', 'typecheck']);
await step('Build', 'npm', ['run', '--silent', 'build']);
process.exitCode = await jest(process.argv.slice(2));

/** Prints nothing after jest: its summary is what people look for at the end. */
function jest(args) {
  console.log('Tests');
  const program = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const reporters = ['--reporters=default', `--reporters=${join(root, 'tools', 'pulse-reporter.cjs')}`];
  const stdio = ['ignore', 'inherit', 'inherit', 'pipe'];
  const child = spawn(process.execPath, [program, ...args, ...reporters], { cwd: root, stdio });
  // Ctrl-C reaches jest by itself, a signal from elsewhere does not; either way jest's end is ours.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  const stuck = watch(child);
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(console.error(error.message) ?? 1));
    child.on('exit', (code, signal) => resolve(stuck() ?? code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

/**
 * Ends a jest that has run all tests and does not end. While its event loop turns something was left open, which fails the
 * run. When it does not, Node.js is stuck in its own end, without a word, for hours (seen with a socket that had been reset
 * while it was ending: Environment::CleanupHandles spins), and the tests have the last word.
 *
 * @returns what to exit with if that was necessary
 */
function watch(child) {
  let outcome;
  let last = { at: Infinity };
  let completeAt = Infinity;
  createInterface({ input: child.stdio[3] }).on('line', (line) => {
    last = { at: Date.now(), ...JSON.parse(line) };
    if (last.success !== undefined) completeAt = Math.min(completeAt, last.at);
  });
  const timer = setInterval(() => {
    const silent = Date.now() - last.at > SILENCE;
    if (last.success === undefined || !(silent || Date.now() - completeAt > FAREWELL)) return;
    const why = silent ? 'Node.js is stuck in its end' : `something was left open: ${last.open.join(', ')}`;
    console.error(`jest does not end after the last test: ${why}`);
    outcome = silent && last.success ? 0 : 1;
    child.kill('SIGKILL');
  }, 1_000);
  child.on('exit', () => clearInterval(timer));
  return () => outcome;
}
