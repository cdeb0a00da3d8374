/*
 * How many files a process may have open: connections, and while it is loaded the files that it consists of. Imports
 * nothing but Node's own, since it is asked before the rest is loaded.
 */
import { readFileSync } from 'node:fs';

/** What loading takes, which opens hundreds of files at a time, and a few connections. */
const FEWEST = 512;

/** How many files this process may have open; `undefined` where the system does not say, or sets no limit. */
export function openFilesLimit(): number | undefined {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/** Ends the process with one sentence where it could not be loaded. */
export function requireOpenFiles(limit = openFilesLimit()): void {
  if (limit === undefined || limit >= FEWEST) return;
  console.error(
    `This process may have ${limit} files open, and needs ${FEWEST} to start: raise the limit (ulimit -n, LimitNOFILE=), ` +
      'with one more for each client.',
  );
  process.exit(1);
}
