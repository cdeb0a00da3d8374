/*
 * What a bus can be told, and what each of it may be.
 */
import type { BackoffOptions } from './backoff.js';
import { checkOptions } from './checks.js';
import { BroadcastError } from './errors.js';
import type { LogsOptions } from './logs.js';
import type { SignatureOptions } from './signature.js';
import type { TracingOptions } from './tracing.js';

export interface BusOptions extends SignatureOptions, LogsOptions, TracingOptions {
  /** Id of this instance: 1 to 64 of `A-Z a-z 0-9 _ . -`, different on each. @default `i-` and 8 random hex digits */
  instance?: string;
  /** Deadline of every broker call, in ms. @default 5_000 */
  callTimeout?: number;
  /** Messages that may wait while there is no link. @default 1_000 */
  outboxSize?: number;
  /** How long a message may wait for a link, in ms. @default 2_000 */
  outboxAge?: number;
  /** Bytes that may be waiting or unanswered. @default 67_108_864 (64 MiB) */
  maxBytes?: number;
  /** How long a channel that nobody listens to stays subscribed, in ms. @default 10_000 */
  linger?: number;
  /** Time between two probes, in ms. @default 2_000 */
  probeInterval?: number;
  /** Probes in a row without an echo after which the link is deaf. @default 3 */
  probeMisses?: number;
  /** Waits between attempts to connect. @default full jitter in 0-100 ms, doubling up to 0-10 s */
  backoff?: BackoffOptions;
}

/** Of those that say `any`, whoever they are handed to has more to say. */
const KINDS = {
  instance: 'text',
  callTimeout: 'ms',
  outboxSize: 'size',
  outboxAge: 'window',
  maxBytes: 'bytes',
  linger: 'window',
  probeInterval: 'ms',
  probeMisses: 'count',
  backoff: 'any',
  secret: 'any',
  requireSigned: 'flag',
  history: 'any',
  profiles: 'any',
  appendTimeout: 'ms',
  readTimeout: 'ms',
  idWindow: 'window',
  ringBytes: 'size',
  ringsBytes: 'size',
  bufferSize: 'size',
  replayLimit: 'size',
  watchInterval: 'ms',
  telemetry: 'any',
} as const satisfies Record<keyof BusOptions, string>;

/** @throws BroadcastError `BAD_REQUEST` for options that do not exist or cannot be */
export function checkBusOptions(options: BusOptions): void {
  checkOptions('a Bus', options, KINDS);
  checkOptions('backoff', options.backoff ?? {}, { base: 'window', max: 'window', random: 'function' });
  const { instance } = options;
  if (instance === undefined || /^[\w.-]{1,64}$/.test(instance)) return;
  const expected = 'expected 1 to 64 of A-Z a-z 0-9 _ . -';
  throw new BroadcastError('BAD_REQUEST', `the instance id ${JSON.stringify(instance)} is not valid: ${expected}`);
}
