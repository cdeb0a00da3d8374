/*
 * Under which conditions something was measured: machine, versions, date.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../scripts/prerequisites.mjs';

const PACKAGES = [
  ...['socket.io', 'socket.io-adapter', 'engine.io', 'ws', 'ioredis', 'amqplib'],
  ...['@socket.io/redis-adapter', '@socket.io/redis-streams-adapter'],
];

export async function conditions(bench) {
  const [{ model }] = cpus();
  return {
    date: new Date().toISOString(),
    quick: bench.quick,
    rounds: bench.pairs,
    /** Processes that wanted a core on average of the last 5 minutes: many more than there are cores, and others were at it. */
    load: Math.round(loadavg()[1] * 10) / 10,
    machine: {
      cpu: `${cpus().length} × ${model.trim()}`,
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      system: `${type()} ${release()}`,
    },
    versions: {
      roomcast: await commit(),
      node: process.version,
      ...(bench.broker('redis') && { redis: await redisVersion(bench.broker('redis')) }),
      ...(bench.broker('rabbitmq') && { rabbitmq: (await bench.broker('rabbitmq').ctl('version')).trim() }),
      ...Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
    },
  };
}

async function redisVersion(redis) {
  return /redis_version:(\S+)/.exec(await redis.cli('info', 'server'))?.[1];
}

function versionOf(name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version;
}

async function commit() {
  try {
    const git = promisify(execFile);
    return (await git('git', ['describe', '--always', '--dirty', '--exclude', '*'], { cwd: root })).stdout.trim();
  } catch {
    return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version; // no repository, or no git
  }
}
