/*
 * Where the brokers' programs are on this machine. It does not install them: scripts/prerequisites.mjs does.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const folders = [
  ...(process.env['PATH'] ?? '').split(delimiter),
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/local/sbin',
  '/opt/homebrew/bin',
  '/opt/homebrew/sbin',
  '/home/linuxbrew/.linuxbrew/bin',
  '/home/linuxbrew/.linuxbrew/sbin',
];

/** The path of a program, looked for in `first`, in PATH, and in the usual folders. */
export function findBinary(name: string, ...first: string[]): string {
  for (const folder of [...first, ...folders]) {
    const path = join(folder, name);
    if (folder && executable(path)) return path;
  }
  throw new Error(`${name} was not found. Install it, or run "npm test", which does.`);
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
