/*
 * The brokers and the gate of the tests, for a script: their TypeScript is stripped into a folder beside the build.
 */
import { transformFileSync } from '@swc/core';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './prerequisites.mjs';

/** Redis writes to the page cache at once and to the disk every second: what was answered survives the process. */
const APPEND_ONLY = ['--appendonly', 'yes', '--appendfsync', 'everysec'];

/** @returns {{ startBroker: () => Promise<any>, openGate: (port: number) => Promise<any>, freePort: () => Promise<number> }} */
export function brokersFor(transport) {
  const { startRedis, startRabbitmq, openGate, freePort } = testBrokers();
  const starts = {
    memory: () => undefined,
    redis: () => startRedis({ args: APPEND_ONLY }),
    rabbitmq: () => startRabbitmq(),
  };
  return { startBroker: starts[transport], openGate, freePort };
}

/** What test/brokers offers: `startRedis`, `startRabbitmq`, `openGate`, `freePort`. */
export function testBrokers() {
  return Object.assign({}, ...['redis', 'rabbitmq', 'gate', 'broker-process'].map(load));
}

let folder;

function load(name) {
  folder ??= strip();
  return createRequire(join(folder, 'package.json'))(`./${name}.js`);
}

function strip() {
  const from = join(root, 'test', 'brokers');
  const to = join(root, 'dist', 'brokers');
  mkdirSync(to, { recursive: true });
  writeFileSync(join(to, 'package.json'), '{ "type": "commonjs" }\n');
  for (const file of readdirSync(from).filter((each) => each.endsWith('.ts'))) {
    const { code } = transformFileSync(join(from, file), {
      swcrc: false,
      module: { type: 'commonjs' },
      jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    });
    writeFileSync(join(to, file.replace(/\.ts$/, '.js')), code);
  }
  return to;
}
