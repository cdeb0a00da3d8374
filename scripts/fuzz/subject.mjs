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
  #inspector = new Inspector();

  constructor({ environment, ...options }) {
    super({ ...options, environment: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ...environment } });
    this.#log = join(options.logs, `${options.name}.log`);
  }

  async start() {
    await super.start();
    await this.#inspector.open(readFileSync(this.#log, 'utf8'));
  }

  async end(signal) {
    this.#inspector.close();
    await super.end(signal);
  }

  memory() {
    return this.#inspector.memory();
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
