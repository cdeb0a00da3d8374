/*
 * The way in that both apps share: read the environment, start, and say in one sentence why it cannot be.
 */
import type { INestApplicationContext } from '@nestjs/common';
import { APP_DEFAULTS, readEnvironment, showEnvironment, type Environment } from './environment.js';
import { BroadcastError, toError } from './errors.js';
import { unknownVariables } from './unknown-variables.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const USAGE =
  'Settings come from the environment (docs/configuration.md). --check-config prints them and starts nothing.';

export interface App {
  /** Refuses settings that this app cannot work with. @throws BroadcastError `BAD_REQUEST` */
  check?: (environment: Environment) => void;
  start: (environment: Environment) => Promise<{ readonly app: INestApplicationContext }>;
}

/**
 * Runs an app with the process's environment. With `--check-config` it prints what the environment comes to, without
 * its passwords, and starts nothing. Wrong settings end the process with code 1 and one sentence. SIGTERM and SIGINT
 * close the app in order and end the process with code 0.
 */
export async function run({ check = () => undefined, start }: App): Promise<void> {
  try {
    const [option, ...more] = process.argv.slice(2);
    if (option === '--help' || option === '-h') return console.log(USAGE);
    if (more.length > 0 || (option !== undefined && option !== '--check-config')) {
      throw new BroadcastError('BAD_REQUEST', `Unknown option ${[option, ...more].join(' ')}. ${USAGE}`);
    }
    const environment = readEnvironment(process.env, APP_DEFAULTS);
    check(environment);
    for (const unknown of unknownVariables()) console.warn(unknown);
    if (option === '--check-config') return console.log(JSON.stringify(showEnvironment(environment), null, 2));
    warn(environment);
    // As process 1 of a container Node ignores signals that nobody listens to, and the start may wait for the broker.
    const leave = () => process.exit(0);
    for (const signal of SIGNALS) process.once(signal, leave);
    const { app } = await start(environment);
    app.enableShutdownHooks([...SIGNALS], { useProcessExit: true });
    for (const signal of SIGNALS) process.off(signal, leave);
  } catch (error) {
    console.error(lastWords(error));
    process.exit(1);
  }
}

/** Why it ends, as one line. Where nobody foresaw it, those who look for more get where it was thrown. */
function lastWords(thrown: unknown): string {
  const error = toError(thrown);
  const isForeseen = error instanceof BroadcastError && error.code === 'BAD_REQUEST';
  const stack = isForeseen ? undefined : error.stack;
  const { LOG_FORMAT, LOG_LEVEL } = process.env;
  if (LOG_FORMAT === 'json') {
    const line = { level: 'fatal', pid: process.pid, timestamp: Date.now(), message: error.message, stack };
    return JSON.stringify(line);
  }
  const isCurious = LOG_LEVEL === 'debug' || LOG_LEVEL === 'verbose';
  return isForeseen ? error.message : isCurious && stack ? stack : `It cannot start: ${error.message}`;
}

/** A process of its own on the embedded transport is alone, which is rarely meant when an address is given. */
function warn({ BROADCAST_TRANSPORT, REDIS_URL, RABBITMQ_URL }: Environment): void {
  if (BROADCAST_TRANSPORT !== 'memory' || (REDIS_URL ?? RABBITMQ_URL) === undefined) return;
  console.warn('BROADCAST_TRANSPORT is memory: the broker addresses that are set are not used.');
}
