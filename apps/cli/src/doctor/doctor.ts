/*
 * `roomcast doctor`: whether an instance could do its work here, and what is in its way.
 */
import { BroadcastError, type Environment } from '@app/broadcast';
import { doubts } from '../check-config.js';
import { environment } from '../bus.js';
import { DONE, FAILED, type Command } from '../command.js';
import { fail, ok, warn, type Check } from './check.js';
import { askHost } from './host.js';
import { walk } from './path.js';

const SIGNS = { ok: 'ok', warn: 'warn', fail: 'FAIL', unknown: '?' } as const;

export const doctor: Command = {
  name: 'doctor',
  summary: 'look whether gateways and workers could do their work with this environment, and say what is in the way',
  notes: `Run it where they run, with their environment. It does at the broker what they do, in a room and a queue of its own,
and deletes what is its own. Exit code 1 when a check has failed; warnings are none.`,
  run: async ({ out }) => {
    const checks = await examine();
    const failed = checks.filter(({ status }) => status === 'fail').length;
    const width = Math.max(...checks.map(({ name }) => name.length));
    const lines = checks.flatMap(({ name, status, found, advice }) => [
      `${SIGNS[status].padEnd(5)} ${name.padEnd(width)}  ${found}`,
      ...(advice === undefined ? [] : [`${' '.repeat(width + 8)}→ ${advice}`]),
    ]);
    const verdict = failed === 0 ? 'Nothing is in the way.' : `${failed} of ${checks.length} checks failed.`;
    out.result({ ok: failed === 0, checks }, [...lines, '', verdict].join('\n'));
    return failed === 0 ? DONE : FAILED;
  },
};

async function examine(): Promise<Check[]> {
  let settings: Environment;
  try {
    settings = environment();
  } catch (error) {
    if (!(error instanceof BroadcastError)) throw error;
    return [...askHost(), fail('settings', error.message, 'docs/configuration.md says what each of them may be.')];
  }
  const { BROADCAST_TRANSPORT } = settings;
  const told = doubts(settings);
  const about =
    told.length === 0
      ? ok('settings', BROADCAST_TRANSPORT)
      : warn('settings', told.join(' '), 'set it, or leave it so knowingly.');
  return [...askHost(), about, ...(await askBroker(settings))];
}

/** The broker's library is only loaded where that broker is used. */
async function askBroker(settings: Environment): Promise<Check[]> {
  const { BROADCAST_PREFIX: prefix } = settings;
  switch (settings.BROADCAST_TRANSPORT) {
    case 'redis': {
      const { askRedis, deleteKeys } = await import('./redis.js');
      const checks = await askRedis(settings);
      const leave = ({ room, queue }: { room: string; queue: string }) => deleteKeys(settings, room, queue);
      return isThere(checks) ? [...checks, ...(await walk(settings, leave))] : checks;
    }
    case 'rabbitmq': {
      const { askRabbitmq, deleteQueues } = await import('./rabbitmq.js');
      const checks = await askRabbitmq(settings);
      const leave = ({ queue }: { queue: string }) => {
        const work = `${prefix}live_rooms.jobs.${queue}`;
        return deleteQueues(settings.RABBITMQ_URL ?? 'amqp://127.0.0.1:5672', [work, `${work}.dead`]);
      };
      return isThere(checks) ? [...checks, ...(await walk(settings, leave))] : checks;
    }
    default:
      return [ok('broker', 'none is used: rooms do not leave their process')];
  }
}

/** Whether it is of any use to go on: the broker answers, and takes messages. */
function isThere(checks: readonly Check[]): boolean {
  return !checks.some(({ name, status }) => status === 'fail' && (name === 'broker' || name === 'alarms'));
}
