/*
 * `roomcast check-config`: what the environment comes to, or what is wrong with it.
 */
import { BroadcastError, showEnvironment, unknownVariables, type Environment } from '@app/broadcast';
import { environment } from './bus.js';
import { DONE, FAILED, type Command } from './command.js';

export const checkConfig: Command = {
  name: 'check-config',
  summary: 'print what the environment comes to, without passwords, or what is wrong with it',
  run: async ({ out }) => {
    let settings: Environment;
    try {
      settings = environment();
      const { checkSettings } = await import('../../gateway/src/gateway.js');
      checkSettings(settings);
    } catch (error) {
      if (!(error instanceof BroadcastError)) throw error;
      if (out.json) out.text(JSON.stringify({ ok: false, error: error.message }, null, 2));
      else out.progress(error.message);
      return FAILED;
    }
    const shown = showEnvironment(settings);
    const warnings = doubts(settings);
    const lines = Object.entries(shown).map(
      ([name, value]) => `${name}=${value === undefined ? '' : String(value as string)}`,
    );
    out.result({ ok: true, settings: shown, warnings }, lines.sort().join('\n'));
    if (!out.json) for (const warning of warnings) out.progress(`warning: ${warning}`);
    return DONE;
  },
};

/** What is allowed, and rarely meant. */
export function doubts(settings: Environment): string[] {
  const { BROADCAST_TRANSPORT: transport, REDIS_URL, RABBITMQ_URL, NODE_ENV, BROADCAST_SECRET } = settings;
  const found = unknownVariables();
  if (transport === 'memory' && (REDIS_URL ?? RABBITMQ_URL) !== undefined) {
    found.push('BROADCAST_TRANSPORT is memory: the broker addresses that are set are not used.');
  }
  if (transport === 'redis' && REDIS_URL === undefined)
    found.push('REDIS_URL is not set: redis://127.0.0.1:6379 is used.');
  if (transport === 'rabbitmq' && RABBITMQ_URL === undefined) {
    found.push('RABBITMQ_URL is not set: amqp://127.0.0.1:5672 is used.');
  }
  if (NODE_ENV === 'production' && transport === 'memory') {
    found.push('BROADCAST_TRANSPORT is memory in production: each instance has rooms of its own.');
  }
  if (NODE_ENV === 'production' && transport !== 'memory' && !BROADCAST_SECRET) {
    found.push('BROADCAST_SECRET is not set: whoever can publish at the broker can give orders to the instances.');
  }
  return found;
}
