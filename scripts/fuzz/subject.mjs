/*
 * The gateway that is fuzzed: a process of the built files, whose memory can be looked at from outside.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { GatewayProcess } from '../soak/gateways.mjs';

const CRASH = /unhandled ?rejection|uncaught ?exception|MaxListenersExceeded|heap out of memory/i;
const MB = 1024 * 1024;

export class Subject extends GatewayProcess {
  #log;
  #inspector;
  #asked = 0;
  /** @type {Map<number, (result: any) => void>} */
  #waiting = new Map();

  constructor({ environment, ...options }) {
    super({ ...options, environment: { NODE_OPTIONS: '--inspect=127.0.0.1:0', ...environment } });
    this.#log = join(options.logs, `${options.name}.log`);
  }

  async start() {
    await super.start();
    const [url] = /ws:\/\/127\.0\.0\.1:\d+\/[\w-]+/.exec(readFileSync(this.#log, 'utf8'));
    this.#inspector = new WebSocket(url);
    this.#inspector.on('message', (data) => {
      const { id, result } = JSON.parse(data.toString());
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
    await new Promise((resolve, reject) => this.#inspector.once('open', resolve).once('error', reject));
  }

  async end(signal) {
    this.#inspector?.close();
    await super.end(signal);
  }

  /** In MB: the heap after everything that nobody holds is collected, and what the system gives the process. */
  async memory() {
    for (let i = 0; i < 2; i++) {
      await this.#ask('HeapProfiler.collectGarbage');
      await sleep(100);
    }
    const expression = 'JSON.stringify(process.memoryUsage())';
    const { result } = await this.#ask('Runtime.evaluate', { expression });
    const { heapUsed, external, rss } = JSON.parse(result.value);
    return { heap: round((heapUsed + external) / MB), rss: round(rss / MB) };
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

  #ask(method, params = {}) {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#inspector.send(JSON.stringify({ id, method, params }));
    });
  }
}

function round(number) {
  return Math.round(number * 10) / 10;
}
