/*
 * The way in that both apps share: read the environment, start, and say in one sentence why it cannot be.
 */
import type { INestApplicationContext } from '@nestjs/common';
import { readEnvironment, withoutSecrets, type Environment } from './environment.js';
import { BroadcastError } from './errors.js';

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
      const { app } = await start(environment);
      app.enableShutdownHooks([], { useProcessExit: true });
    }
  } catch (error) {
    console.error(error instanceof BroadcastError && error.code === 'BAD_REQUEST' ? error.message : error);
    process.exit(1);
  }
}
