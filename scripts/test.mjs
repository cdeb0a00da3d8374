/*
 * `npm test`: installs what is missing, then lint, types, build and tests, in this order, until one fails. Arguments
 * go to jest: `npm test -- bus`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkNode, installBrokers, installPackages, root, step } from './prerequisites.mjs';

checkNode();
await installPackages();
await installBrokers();
await step('Lint', 'npm', ['run', '--silent', 'lint']);
await step('Types', 'npm', ['run', '--silent', 'typecheck']);
await step('Build', 'npm', ['run', '--silent', 'build']);
process.exitCode = await jest(process.argv.slice(2));

/** Prints nothing after jest: its summary is what people look for at the end. */
function jest(args) {
  console.log('Tests');
  const program = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  // Ctrl-C reaches jest by itself, a signal from elsewhere does not; either way jest's end is ours.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(console.error(error.message) ?? 1));
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}
