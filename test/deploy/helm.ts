/*
 * The Helm chart as an operator has it: rendered by helm, and looked at by kubeconform with the schemas of Kubernetes.
 * scripts/chart-tools.mjs installs all three.
 */
import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { findBinary } from '../brokers/binaries.js';

export const root = join(__dirname, '..', '..');
export const chart = join(root, 'deploy', 'helm', 'roomcast');
const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'roomcast');
const schemas = join(cache, 'kubernetes-1.37.0');

/** The oldest Kubernetes that the chart takes, and the newest whose schemas there are. */
export const kubernetes = ['1.30.0', '1.37.0'] as const;

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { name: string; labels: Record<string, string>; annotations?: Record<string, string> };
  // What follows is another thing in each kind, and looked at by schema.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly spec: any;
}

/** Somebody has to be let in. */
export const open = ['--set', 'settings.AUTH_ANONYMOUS=true'] as const;

interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs helm with values as a file would hold them. */
export function helm(command: readonly string[], values: object = {}, version: string = kubernetes[1]): Outcome {
  const args = [...command, '--kube-version', version, '--values', '-'];
  return run(findBinary('helm', join(cache, 'bin')), args, JSON.stringify(values));
}

/** What the chart makes of values, as text, with everybody let in. */
export function render(values: object = {}, ...more: string[]): string {
  const { code, output, errors } = helm(['template', 'live', chart, ...open, ...more], values);
  if (code !== 0) throw new Error(errors);
  return output;
}

export function manifests(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** What is wrong with manifests in the eyes of that Kubernetes. Kinds of others have no schema there. */
export function validate(text: string, version: string): string {
  const location = join(schemas, `v${version}`, '{{.ResourceKind}}{{.KindSuffix}}.json');
  const args = ['-strict', '-skip', 'ServiceMonitor', '-schema-location', location, '-'];
  const { code, output, errors } = run(findBinary('kubeconform', join(cache, 'bin')), args, text);
  return code === 0 ? '' : output + errors;
}

function run(program: string, args: readonly string[], input: string): Outcome {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    input,
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (error) throw error;
  return { code: status, output: stdout, errors: stderr };
}
