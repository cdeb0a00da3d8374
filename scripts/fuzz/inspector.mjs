/*
 * Looks into a process that runs with --inspect: how much memory it holds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

const MB = 1024 * 1024;

export class Inspector {
  #socket;
  #asked = 0;
  /** @type {Map<number, (result: any) => void>} */
  #waiting = new Map();

  /** @param {string} output what the process has printed: it says there where it can be looked into */
  async open(output) {
    const [url] = /ws:\/\/127\.0\.0\.1:\d+\/[\w-]+/.exec(output) ?? [];
    if (url === undefined) throw new Error('the process does not run with --inspect');
    this.#socket = new WebSocket(url);
    this.#socket.on('message', (data) => {
      const { id, result } = JSON.parse(data.toString());
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
    await new Promise((resolve, reject) => this.#socket.once('open', resolve).once('error', reject));
    return this;
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

  close() {
    this.#socket?.terminate();
  }

  #ask(method, params = {}) {
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

function round(number) {
  return Math.round(number * 10) / 10;
}
