/*
 * What this machine, or this container, lets a gateway do.
 */
import { readFileSync } from 'node:fs';
import { fail, ok, type Check } from './check.js';
import { judgeOpenFiles } from './judge.js';

const OLDEST_NODE = [20, 19] as const;

export function askHost(): Check[] {
  return [nodeVersion(process.versions.node), judgeOpenFiles(openFiles())];
}

export function nodeVersion(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor, leastMinor] = OLDEST_NODE;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return ok('Node', version);
  return fail('Node', version, `use Node ${OLDEST_NODE.join('.')} or later.`);
}

/** How many files this process may have open. Node raises its own soft limit as far as it may. */
function openFiles(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return undefined;
  }
}
