/*
 * The way in that both apps share: read the environment, start, and say in one sentence why it cannot be.
 */
import { readEnvironment, withoutSecrets, type Environment } from './environment.js';
import { BroadcastError } from './errors.js';

/**
 * Runs an app with the process's environment. With `--check-config` it prints what the environment comes to, without
 * its passwords, and starts nothing. Wrong settings end the process with code 1 and one sentence.
 */
export async function run(start: (environment: Environment) => Promise<unknown>): Promise<void> {
  try {
    const environment = readEnvironment();
    if (process.argv.includes('--check-config')) console.log(JSON.stringify(withoutSecrets(environment), null, 2));
    else await start(environment);
  } catch (error) {
    console.error(error instanceof BroadcastError && error.code === 'BAD_REQUEST' ? error.message : error);
    process.exit(1);
  }
}
