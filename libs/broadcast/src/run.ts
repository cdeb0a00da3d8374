/*
 * The way in that both apps share: read the environment, start, and say in one sentence why it cannot be.
 */
import type { INestApplicationContext } from '@nestjs/common';
import { readEnvironment, withoutSecrets, type Environment } from './environment.js';
import { BroadcastError } from './errors.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

export interface RunningApp {
  readonly app: INestApplicationContext;
}

/**
 * Runs an app with the process's environment. With `--check-config` it prints what the environment comes to, without
 * its passwords, and starts nothing. Wrong settings end the process with code 1 and one sentence. SIGTERM and SIGINT
 * close the app in order and end the process with code 0.
 */
export async function run(start: (environment: Environment) => Promise<RunningApp>): Promise<void> {
  try {
    const environment = readEnvironment();
    if (process.argv.includes('--check-config')) {
      console.log(JSON.stringify(withoutSecrets(environment), null, 2));
    } else {
      // As process 1 of a container Node ignores signals that nobody listens to, and the start may wait for the broker.
      const leave = () => process.exit(0);
      for (const signal of SIGNALS) process.once(signal, leave);
      const { app } = await start(environment);
      app.enableShutdownHooks([...SIGNALS], { useProcessExit: true });
      for (const signal of SIGNALS) process.off(signal, leave);
    }
  } catch (error) {
    console.error(error instanceof BroadcastError && error.code === 'BAD_REQUEST' ? error.message : error);
    process.exit(1);
  }
}
