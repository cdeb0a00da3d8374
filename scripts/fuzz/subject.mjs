/*
 * The gateway that is fuzzed: a process of the built files, whose memory can be looked at from outside.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayProcess } from '../soak/gateways.mjs';
import { Inspector } from './inspector.mjs';

const CRASH = /unhandled ?rejection|uncaught ?exception|MaxListenersExceeded|heap out of memory/i;

export class Subject extends GatewayProcess {
  #log;

  constructor({ environment, ...options }) {
    super({ ...options, environment: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ...environment } });
    this.#log = join(options.logs, `${options.name}.log`);
  }

  /** Looked into for a moment only: a process that crashes waits until nobody does, and would seem to hang. */
  async memory() {
    const inspector = await new Inspector().open(readFileSync(this.#log, 'utf8'));
    try {
      return await inspector.memory();
    } finally {
      inspector.close();
    }
  }

  /** @returns {Promise<{ connections: number, broker: Record<string, number>, refused: Record<string, number> }>} */
  async health() {
    const answer = await fetch(`${this.url}/health/ready`, { signal: AbortSignal.timeout(10_000) });
    return answer.json();
  }

  /** What is in its log and must not be. */
  complaints() {
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .filter((line) => CRASH.test(line));
  }
}
