/*
 * A broker of our own, as a process that a test may kill, freeze and start again on the same port and data folder.
 * It knows nothing about Redis or RabbitMQ: redis.ts and rabbitmq.ts say how to start one and how to see it is ready.
 *
 * This folder is CommonJS (package.json): jest loads its global setup with Node's own require, which does not know
 * that './x.js' means './x.ts'. Hence the imports without an extension, here only.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Time in which a process that was killed has to be gone, in ms. */
const GONE = 10_000;

export interface Command {
  readonly file: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface BrokerRecipe {
  /** `redis` or `rabbitmq`: begins the name of the folder and every complaint. */
  readonly name: string;
  readonly port: number;
  readonly url: string;
  /** Everything the broker writes, its log included. Removed by `stop()`. */
  readonly folder: string;
  /** The broker itself: must stay in the foreground, as the process that is started here. */
  readonly server: Command;
  /** A process that the broker needs for as long as it exists; `kill()` and `freeze()` do not touch it. */
  readonly companion?: Command;
  /** Command line client; the arguments of `command()` are appended. */
  readonly client: Command;
  /** Sent to the port to see whether the broker answers … */
  readonly hello: Buffer;
  /** … and how a good answer begins. */
  readonly answer: Buffer;
  /** How long a start may take, in ms. */
  readonly patience: number;
}

export class BrokerProcess {
  readonly url: string;
  readonly port: number;
  readonly #recipe: BrokerRecipe;
  readonly #log: string;
  readonly #watchdog: ChildProcess;
  #server: ChildProcess | undefined;
  #companion: ChildProcess | undefined;

  constructor(recipe: BrokerRecipe) {
    this.#recipe = recipe;
    this.url = recipe.url;
    this.port = recipe.port;
    this.#log = join(recipe.folder, 'broker.log');
    this.#watchdog = watchdog(recipe.folder);
  }

  get running(): boolean {
    return alive(this.#server);
  }

  /** Starts it (again, with the data it had) and resolves when it answers in its own protocol. */
  async start(): Promise<void> {
    const { name, server, companion, patience } = this.#recipe;
    if (this.running) throw new Error(`${name} on port ${this.port} is running already`);
    if (companion && !alive(this.#companion)) this.#companion = this.#spawn(companion);
    this.#server = this.#spawn(server);
    this.#tellWatchdog();
    const deadline = Date.now() + patience;
    while (!(await this.#answers())) {
      if (!this.running) throw new Error(`${name} ended while it was starting.\n${this.#lastLines()}`);
      if (Date.now() > deadline) {
        await this.kill();
        throw new Error(`${name} did not answer on port ${this.port} within ${patience} ms.\n${this.#lastLines()}`);
      }
      await sleep(50);
    }
  }

  /** Ends it without warning, as a crash does. Resolves when the process is gone. */
  async kill(): Promise<void> {
    await end(this.#server);
    this.#tellWatchdog();
  }

  /** Connections stay open, nothing is answered, until `thaw()`. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** Runs the broker's command line client against it and resolves with what it printed. */
  async command(...args: string[]): Promise<string> {
    const { file, args: first = [], env } = this.#recipe.client;
    const { stdout } = await promisify(execFile)(file, [...first, ...args], { env: { ...process.env, ...env } });
    return stdout;
  }

  /** Ends it for good and removes its folder. */
  async stop(): Promise<void> {
    await end(this.#server);
    await end(this.#companion);
    this.#tellWatchdog();
    if (alive(this.#watchdog)) {
      this.#watchdog.ref();
      this.#watchdog.stdin?.end();
      await gone(this.#watchdog);
    }
    rmSync(this.#recipe.folder, { recursive: true, force: true });
  }

  #spawn({ file, args = [], env }: Command): ChildProcess {
    const log = openSync(this.#log, 'a');
    // Detached: a process group of its own, so that one signal reaches whatever the broker has started, and Ctrl-C
    // in the terminal reaches none of it.
    const child = spawn(file, args, {
      cwd: this.#recipe.folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    child.unref();
    child.on('error', () => {
      // Could not be started: it has no pid, so start() reports it as ended.
    });
    return child;
  }

  #signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (!this.running) throw new Error(`${this.#recipe.name} on port ${this.port} is not running`);
    signalGroup(this.#server, signal);
  }

  #tellWatchdog(): void {
    const pids = [this.#server, this.#companion].filter(alive).map((child) => child?.pid);
    this.#watchdog.stdin?.write(`${pids.join(' ')}\n`);
  }

  #answers(): Promise<boolean> {
    const { hello, answer } = this.#recipe;
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(hello));
      socket.setTimeout(1_000, () => socket.destroy());
      socket.on('data', (chunk) => {
        resolve(chunk.subarray(0, answer.length).equals(answer));
        socket.destroy();
      });
      socket.on('error', () => socket.destroy());
      socket.on('close', () => resolve(false));
    });
  }

  #lastLines(): string {
    try {
      return `The end of its log:\n${readFileSync(this.#log, 'utf8').trimEnd().split('\n').slice(-60).join('\n')}`;
    } catch {
      return 'It wrote no log.';
    }
  }
}

/** Starts it, or leaves nothing behind. */
export async function started<T extends BrokerProcess>(broker: T): Promise<T> {
  try {
    await broker.start();
  } catch (error) {
    await broker.stop();
    throw error;
  }
  return broker;
}

/** A new, empty folder for one broker. */
export function brokerFolder(name: string): string {
  return mkdtempSync(join(realpathSync(tmpdir()), `roomcast-${name}-`));
}

/**
 * A port that is free now and that the system will not give to an outgoing connection meanwhile: those come from
 * 32768 up. From that range, a client that retries while the broker is down can connect to itself, and the broker
 * finds its port taken when it comes back.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/**
 * Outlives this process by a moment: when its input ends, because we are done or because we died in whatever way, it
 * kills what it was last told of and removes the folder. An 'exit' handler would miss SIGKILL, and runs too early for
 * a broker that is started by a test that is being interrupted.
 */
function watchdog(folder: string): ChildProcess {
  // No "--" after "kill -9": Debian's sh takes it for a pid, and everything lives on.
  const script = `
    while read -r line; do pids=$line; done
    for pid in $pids; do kill -9 "-$pid"; done
    [ -z "$pids" ] || sleep 1
    rm -rf -- "$1"`;
  const child = spawn('/bin/sh', ['-c', script, 'watchdog', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  child.unref();
  const input = child.stdin as Socket;
  input.unref();
  input.on('error', () => {
    // Somebody has killed it: nobody is left to be told.
  });
  return child;
}

function alive(child: ChildProcess | undefined): boolean {
  return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || !alive(child)) return;
  child.ref(); // or nothing keeps the event loop running until it is gone
  signalGroup(child, 'SIGKILL');
  await gone(child);
}

/** Resolves when it has ended. Bounded, and says which one did not: a run that hangs says nothing. */
async function gone(child: ChildProcess): Promise<void> {
  try {
    await once(child, 'exit', { signal: AbortSignal.timeout(GONE) });
  } catch {
    console.error(`process ${child.pid} (${child.spawnargs.slice(0, 2).join(' ')}) did not end within ${GONE} ms`);
    child.kill('SIGKILL');
    child.unref();
  }
}

function signalGroup(child: ChildProcess | undefined, signal: NodeJS.Signals): void {
  try {
    if (child?.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // gone a moment ago is as good
  }
}
