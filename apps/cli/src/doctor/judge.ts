/*
 * What the findings mean: numbers and words of brokers and hosts, as checks. It asks nobody.
 */
import { fail, ok, unknown, warn, type Check } from './check.js';

const MB = 1024 * 1024;
/** Instances take no orders whose time is further from their own, in ms. */
const SIGNED_WITHIN = 30_000;

/** @param least `6.2`: major and minor */
export function judgeVersion(broker: string, version: string | undefined, least: string): Check {
  const name = `${broker} version`;
  const numbers = /^(\d+)\.(\d+)/.exec(version ?? '');
  if (!numbers) return unknown(name, `it does not say (${version ?? 'nothing'}); ${least} or later is needed`);
  const [major, minor] = [Number(numbers[1]), Number(numbers[2])];
  const [leastMajor, leastMinor] = least.split('.').map(Number) as [number, number];
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return ok(name, version!);
  return fail(name, `${version} is too old`, `upgrade ${broker} to ${least} or later.`);
}

/** @param value of CONFIG GET client-output-buffer-limit */
export function judgeOutputBuffer(value: string | undefined): Check {
  const name = 'client-output-buffer-limit';
  const [, hard, soft, seconds] = /pubsub (\d+) (\d+) (\d+)/.exec(value ?? '') ?? [];
  if (hard === undefined) return unknown(name, 'this user may not read the configuration, or it is of another kind');
  const limit = Number(hard);
  const found = limit === 0 ? 'pubsub: none' : `pubsub: ${size(limit)}, or ${size(Number(soft))} for ${seconds} s`;
  if (limit === 0) {
    return warn(name, found, 'a frozen instance can take all of the memory: set pubsub 256mb 64mb 60.');
  }
  if (limit >= 32 * MB) return ok(name, found);
  const advice = 'instances that are slow for a moment are cut off: set "pubsub 256mb 64mb 60".';
  return limit < MB ? fail(name, found, advice) : warn(name, found, advice);
}

export interface RedisMemory {
  used: number;
  /** 0: no limit. */
  max: number;
  policy: string;
}

export function judgeMemory({ used, max, policy }: RedisMemory): Check {
  const name = 'maxmemory-policy';
  const share = max > 0 ? used / max : 0;
  const found = `${policy}, ${size(used)} used of ${max > 0 ? size(max) : 'what there is'}`;
  if (share >= 0.95 && policy === 'noeviction') {
    return fail(
      name,
      found,
      'Redis refuses what is to be stored: give it memory, or keep less (HISTORY_SIZE, HISTORY_TTL).',
    );
  }
  if (!['noeviction', 'volatile-ttl'].includes(policy)) {
    return warn(
      name,
      found,
      'histories and jobs may be evicted, which is told as gaps: set noeviction, or volatile-ttl.',
    );
  }
  if (share >= 0.8) return warn(name, found, 'give it more memory, or keep less (HISTORY_SIZE, HISTORY_TTL).');
  return ok(name, found);
}

/** @param info the section `persistence`, as names and values */
export function judgePersistence(info: ReadonlyMap<string, string>): Check {
  const name = 'persistence';
  const trouble = [
    ['rdb_last_bgsave_status', 'the last snapshot'],
    ['aof_last_write_status', 'the last write of the append-only file'],
  ].find(([field]) => info.get(field!) === 'err');
  if (trouble) {
    const found = `${trouble[1]} failed: the disk may be full`;
    return fail(name, found, 'make room on the disk: Redis may refuse everything that is to be stored until then.');
  }
  if (info.get('loading') === '1') return fail(name, 'it is loading its data', 'wait until it has.');
  if (info.get('aof_enabled') === '1') return ok(name, 'append-only file');
  return warn(name, 'no append-only file', 'histories and jobs are gone after a crash of Redis: set appendonly yes.');
}

/** @param role as Redis says it */
export function judgeRole(role: string | undefined): Check {
  if (role === undefined) return unknown('role', 'it does not say');
  if (role === 'master') return ok('role', 'master');
  return fail('role', role, 'this one is a copy, and takes nothing: use the address of the master.');
}

/** @param offset how far the broker's clock is ahead, in ms */
export function judgeClock(offset: number): Check {
  const name = 'clock';
  const by = Math.abs(offset);
  const time = by < 1_000 ? `${Math.round(by)} ms` : `${(by / 1_000).toFixed(1)} s`;
  const found = by < 1 ? "as the broker's" : `${time} ${offset > 0 ? 'behind' : 'ahead of'} the broker's`;
  const advice = `set the clocks (NTP): times of messages are wrong, and signed orders that are ${SIGNED_WITHIN / 1_000} s off are dropped.`;
  if (by >= SIGNED_WITHIN) return fail(name, found, advice);
  return by >= 2_000 ? warn(name, found, advice) : ok(name, found);
}

export function judgeClients(connected: number, most: number): Check {
  const found = `${connected} of ${most}`;
  if (connected < most * 0.8) return ok('connections', found);
  return warn('connections', found, 'raise maxclients: each instance takes two, and a worker one more for each queue.');
}

/** @param limit how many files this process may have open; `undefined`: not told, Infinity: none */
export function judgeOpenFiles(limit: number | undefined): Check {
  const name = 'open files';
  if (limit === undefined) return unknown(name, 'the system does not say');
  const found = limit === Infinity ? 'no limit' : `${limit}: some ${Math.max(0, limit - 100)} clients for each gateway`;
  const advice =
    'each client takes one: ulimit -n 65536, LimitNOFILE=65536 (systemd), or the ulimits of the container.';
  if (limit < 1_024) return fail(name, found, advice);
  return limit < 16_384 ? warn(name, found, advice) : ok(name, found);
}

/** @param reason what the broker gives as the reason for taking no messages */
export function judgeAlarm(reason: string | undefined): Check {
  const name = 'alarms';
  if (reason === undefined) return ok(name, 'none: it takes messages');
  const advice = /disk/.test(reason)
    ? 'make room on its disk, or lower disk_free_limit: until then nothing can be said in any room.'
    : 'give it memory, or find what fills it (rabbitmqctl list_queues name messages memory).';
  return fail(name, `it takes no messages: ${reason}`, advice);
}

/** @param ms from publishing to hearing it */
export function judgeRoundTrip(ms: number): Check {
  const found = `${ms.toFixed(1)} ms from publishing to hearing it`;
  return ms < 100 ? ok('live rooms', found) : warn('live rooms', found, 'the broker is far away, or has much to do.');
}

function size(bytes: number): string {
  if (bytes >= 1024 * MB) return `${(bytes / 1024 / MB).toFixed(1)} GB`;
  return bytes >= MB ? `${Math.round(bytes / MB)} MB` : `${Math.ceil(bytes / 1024)} kB`;
}
