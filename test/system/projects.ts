/*
 * Projects of others: folders outside this repository, with the library as it is published, and everything else in
 * versions that are known here, so that a run today is a run tomorrow.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../brokers/broker-process.js';
import { Client, runNode, type Running } from './processes.js';

export const root = join(__dirname, '..', '..');
export const packages = join(root, 'node_modules');

/** An instance of a service, with a client. */
export interface Served extends Running {
  readonly port: number;
  readonly client: Client;
  /** One more client. */
  visit(): Client;
}

/** A folder of one's own, to be removed by whoever made it. */
export function projectsFolder(name: string): string {
  return mkdtempSync(join(realpathSync(tmpdir()), `roomcast-${name}-`));
}

/** Runs `npm run package` and resolves with the path of the file that it makes in the folder. */
export async function pack(folder: string): Promise<string> {
  await npm(root, 'run', 'package', '--', folder);
  return join(
    folder,
    readdirSync(folder).find((file) => file.endsWith('.tgz'))!,
  );
}

export async function install(project: string, ...names: string[]): Promise<void> {
  await npm(project, 'install', '--prefer-offline', '--no-audit', '--no-fund', ...names);
}

export async function npm(cwd: string, ...args: string[]): Promise<void> {
  await promisify(execFile)('npm', args, { cwd });
}

/** The version of a package that this repository has. */
export function versionOf(name: string): string {
  return read<{ version: string }>(packages, name).version;
}

/** The first version of a package that the library says it works with. Nest's packages go together. */
export function oldestOf(name: string): string {
  const { peerDependencies } = read<{ peerDependencies: Record<string, string> }>(root, 'libs', 'broadcast');
  const range = peerDependencies[name.replace(/^@nestjs\/.+/, '@nestjs/common')] ?? '';
  return /\d+\.\d+\.\d+/.exec(range)?.[0] ?? versionOf(name);
}

/** Runs a service in as many processes, each on a port of its own, with a client that goes on until it is there. */
export async function serve(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  processes = 2,
): Promise<[Served, Served, ...Served[]]> {
  const served: Served[] = [];
  while (served.length < processes) {
    const port = await freePort();
    const running = runNode(args, { ...environment, PORT: String(port) });
    const visit = () => new Client(`http://127.0.0.1:${port}`, undefined, { reconnectionDelay: 100 });
    served.push({ ...running, port, client: visit(), visit });
  }
  return served as [Served, Served];
}

/** Waits for the end of what it prints too. */
export async function ended({ child, output }: Running): Promise<{ code: number | null; output: string }> {
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output: output().trim() };
}

function read<T>(...folder: string[]): T {
  return JSON.parse(readFileSync(join(...folder, 'package.json'), 'utf8')) as T;
}
