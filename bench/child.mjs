/*
 * A process of the bench and how it is spoken to: questions and answers over Node's own channel between parent and child.
 * It ends with its parent, whatever ends that one.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Time in which a process has to be gone, in ms. */
const GONE = 10_000;

export class Child {
  #process;
  #open = new Map();
  #count = 0;

  /** @param {string} file beside this one @param {{ args?: string[], execArgv?: string[] }} options */
  constructor(file, { args = [], execArgv = [] } = {}) {
    const env = { ...process.env, NODE_ENV: 'production' };
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'];
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), args, { env, execArgv, stdio });
    this.#process.on('message', ({ id, value, error }) => {
      const { resolve, reject } = this.#open.get(id);
      this.#open.delete(id);
      if (error === undefined) resolve(value);
      else reject(Object.assign(new Error(error.message), error));
    });
    this.#process.on('exit', (code, signal) => {
      const gone = new Error(`${file} ${args.join(' ')} ended with ${signal ?? code}`);
      for (const { reject } of this.#open.values()) reject(gone);
    });
  }

  /** Resolves, or rejects, with what the method of that name in the process does. */
  call(method, ...args) {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#open.set(id, { resolve, reject });
      this.#process.send({ id, method, args }, (error) => error && reject(error));
    });
  }

  async stop() {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    const patience = setTimeout(() => child.kill('SIGKILL'), GONE);
    if (child.connected) child.disconnect();
    await gone;
    clearTimeout(patience);
  }
}

/** In the process: what its parent may call. */
export function answer(methods) {
  process.on('message', async ({ id, method, args }) => {
    try {
      process.send({ id, value: await methods[method](...args) });
    } catch (error) {
      process.send({ id, error: { message: `${method}: ${error.message}`, lost: error.lost } });
    }
  });
  process.on('disconnect', () => process.exit());
}
