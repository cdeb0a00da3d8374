/*
 * What can be asked of a Redis. A user may not be allowed to ask some of it, which is no fault.
 */
import type { Environment } from '@app/broadcast';
import { Redis } from 'ioredis';
import type { Used } from './path.js';
import { fail, messageOf, ok, unknown, type Check } from './check.js';
import {
  judgeClients,
  judgeClock,
  judgeMemory,
  judgeOutputBuffer,
  judgePersistence,
  judgeRole,
  judgeVersion,
} from './judge.js';

const PATIENCE = 5_000;
/** Looks at the clock; the quickest counts. */
const LOOKS = 5;

export async function askRedis({ REDIS_URL = 'redis://127.0.0.1:6379' }: Environment): Promise<Check[]> {
  const redis = connectionTo(REDIS_URL);
  const { host, protocol } = new URL(REDIS_URL);
  let failure: Error | undefined;
  redis.on('error', (error: Error) => (failure = error));
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    redis.disconnect();
    const said = messageOf(failure ?? error);
    return [fail('broker', `Redis at ${host}: ${said}`, adviceOn(said, protocol === 'rediss:'))];
  }
  try {
    return [ok('broker', `Redis at ${host}`), ...(await ask(redis))];
  } finally {
    redis.disconnect();
  }
}

/** Deletes what a look at a room and a queue has left behind; what it may not delete is forgotten in time. */
export async function deleteKeys(settings: Environment, { room, message, queue }: Used): Promise<void> {
  const { REDIS_URL = 'redis://127.0.0.1:6379', BROADCAST_PREFIX: prefix } = settings;
  const redis = connectionTo(REDIS_URL);
  redis.on('error', () => undefined);
  const [log, jobs] = [`{${prefix}live_room:${room}}`, `${prefix}roomcast:jobs:{${queue}}`];
  try {
    await redis.connect();
    await redis.unlink(`${log}:log`, `${log}:meta`, `${log}:id:${message}`);
    await redis.unlink(jobs);
  } finally {
    redis.disconnect();
  }
}

function connectionTo(url: string): Redis {
  return new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    connectTimeout: PATIENCE,
    commandTimeout: PATIENCE,
    maxRetriesPerRequest: 0,
    disconnectTimeout: 0,
    connectionName: 'roomcast:doctor',
  });
}

async function ask(redis: Redis): Promise<Check[]> {
  const info = await redis.info().then(fieldsOf, () => undefined);
  const config = async (name: string) => {
    const answer = (await redis.config('GET', name).catch(() => [])) as unknown;
    const [, value] = (Array.isArray(answer) ? answer : Object.entries(answer as object).flat()) as string[];
    return value;
  };
  const checks = [judgeVersion('Redis', info?.get('redis_version'), '6.2')];
  if (info) {
    checks.push(judgeRole(info.get('role')), judgePersistence(info));
    const [used, max] = [Number(info.get('used_memory')), Number(info.get('maxmemory'))];
    checks.push(judgeMemory({ used, max, policy: info.get('maxmemory_policy') ?? 'noeviction' }));
    const most = Number(info.get('maxclients') ?? (await config('maxclients')));
    if (most > 0) checks.push(judgeClients(Number(info.get('connected_clients')), most));
  } else {
    checks.push(unknown('memory and persistence', 'this user may not ask for INFO'));
  }
  checks.push(judgeOutputBuffer(await config('client-output-buffer-limit')));
  checks.push(await offsetOf(redis).then(judgeClock, () => unknown('clock', 'this user may not ask for TIME')));
  return checks;
}

/** How far its clock is ahead, in ms. */
async function offsetOf(redis: Redis): Promise<number> {
  let best = { took: Infinity, offset: 0 };
  for (let i = 0; i < LOOKS; i++) {
    const [asked, began] = [Date.now(), performance.now()];
    const [seconds, microseconds] = await redis.time();
    const took = performance.now() - began;
    const there = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
    if (took < best.took) best = { took, offset: there - (asked + took / 2) };
  }
  return best.offset;
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const lines = info.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

function adviceOn(message: string, isTls: boolean): string {
  if (/WRONGPASS|NOAUTH|invalid username-password/i.test(message)) {
    return 'check the user and the password in REDIS_URL: redis://user:password@host:6379.';
  }
  if (/ECONNREFUSED/.test(message)) return 'nothing listens there: check REDIS_URL, and whether Redis runs.';
  if (/ENOTFOUND|EAI_AGAIN/.test(message)) return 'there is no host of that name: check REDIS_URL.';
  // A Redis waits for the end of what it takes for a command: to a greeting in TLS it says nothing.
  if (isTls && /ETIMEDOUT|timed out/i.test(message)) {
    return 'it does not speak TLS there, or does not answer at all: try redis://, or the port that has TLS.';
  }
  if (/ETIMEDOUT|timed out/i.test(message)) return 'nothing answers there: check REDIS_URL, and the network between.';
  if (isTls && /certificate|self.signed|altnames/i.test(message)) {
    return 'the certificate is not trusted here: name its authority in NODE_EXTRA_CA_CERTS.';
  }
  if (isTls) return 'it does not speak TLS there, or not on this port: try redis://, or the port that has TLS.';
  return 'check REDIS_URL; where the server wants TLS, it is rediss://.';
}
