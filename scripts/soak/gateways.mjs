/*
 * The gateways of a soak: processes of the built files, each behind a gate of its own on the way to the broker.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../prerequisites.mjs';

const MAIN = join(root, 'dist', 'apps', 'gateway', 'src', 'main.js');
/** A soak asks what is lost, not what is refused. */
const UNLIMITED = Object.fromEntries(
  ['RATE_LIMIT', 'RATE_LIMIT_USER', 'JOIN_LIMIT', 'HANDSHAKE_RATE', 'MAX_ROOMS_PER_SOCKET'].map((name) => [
    name,
    'off',
  ]),
);
/** How long a start may take, in ms. */
const PATIENCE = 30_000;

export class GatewayProcess {
  #options;
  #child;
  #wanted = false;
  /** @type {string[]} what ended without being told to */
  crashes = [];

  /** @param {{ name: string, port: number, gate?: any, environment: Record<string, string>, logs: string }} options */
  constructor(options) {
    this.#options = options;
  }

  get name() {
    return this.#options.name;
  }

  get gate() {
    return this.#options.gate;
  }

  get url() {
    return `http://127.0.0.1:${this.#options.port}`;
  }

  get running() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it is ready for clients. */
  async start() {
    const { name, port, environment, logs } = this.#options;
    const log = openSync(join(logs, `${name}.log`), 'a');
    const { PATH, HOME } = process.env;
    const env = {
      PATH,
      HOME,
      NO_COLOR: '1',
      ...UNLIMITED,
      ...environment,
      PORT: String(port),
      HOST: '127.0.0.1',
      INSTANCE_ID: name,
    };
    // Detached, so that Ctrl-C ends the faults, and not the gateways before the books are closed.
    const child = spawn(process.execPath, ['--unhandled-rejections=strict', MAIN], {
      env,
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#wanted = true;
    child.on('exit', (code, signal) => {
      if (this.#wanted && child === this.#child) this.crashes.push(`${name} ended with ${code ?? signal}`);
    });
    for (const until = Date.now() + PATIENCE; Date.now() < until && this.running; await sleep(100)) {
      // While a fault keeps it from its broker it is not ready, and that is as it should be.
      if (
        await fetch(`${this.url}/health/live`).then(
          (answer) => answer.ok,
          () => false,
        )
      )
        return;
    }
    if (this.running) throw new Error(`${name} did not start within ${PATIENCE} ms: see its log`);
  }

  async isReady() {
    return fetch(`${this.url}/health/ready`, { signal: AbortSignal.timeout(1_000) }).then(
      async (answer) => answer.ok && (await answer.json()).broker.state === 'up',
      () => false,
    );
  }

  /** Ends it and resolves when it is gone. A SIGTERM that is not obeyed is a crash too. */
  async end(signal) {
    if (!this.running) return;
    this.#wanted = false;
    const child = this.#child;
    const gone = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
    const [code] = await gone;
    clearTimeout(patience);
    if (signal === 'SIGTERM' && code !== 0) this.crashes.push(`${this.name} answered SIGTERM with ${code}`);
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  /** For the very end of this process, whatever happened. */
  abandon() {
    this.#wanted = false;
    if (this.running) this.#child.kill('SIGKILL');
  }
}
