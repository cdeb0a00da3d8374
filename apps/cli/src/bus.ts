/*
 * The bus of a command: connected for as long as the command runs, and no member of anything.
 */
import { APP_DEFAULTS, createBus, readEnvironment, type Bus, type BusOptions, type Environment } from '@app/broadcast';
import { UsageError } from './command.js';
import type { Output } from './output.js';

/** The environment, as gateways and workers read it. @throws BroadcastError `BAD_REQUEST` */
export function environment(): Environment {
  return readEnvironment(process.env, APP_DEFAULTS);
}

export async function withBus<T>(out: Output, use: (bus: Bus) => Promise<T>, options: BusOptions = {}): Promise<T> {
  const settings = environment();
  if (settings.BROADCAST_TRANSPORT === 'memory') {
    const why = 'the embedded transport does not leave its process, so that there is nothing to ask from here';
    throw new UsageError(`${why}: set BROADCAST_TRANSPORT=redis or rabbitmq, as for the gateways`);
  }
  // Not under the name of an instance that may be running.
  const bus = createBus({ ...settings, INSTANCE_ID: undefined }, options);
  bus.on('error', ({ message }) => out.progress(message));
  bus.on('blocked', (on, why) =>
    out.progress(`the broker takes ${on ? 'no messages' : 'messages again'}${why ? `: ${why}` : ''}`),
  );
  try {
    await bus.connect();
    return await use(bus);
  } finally {
    await bus.close();
  }
}
