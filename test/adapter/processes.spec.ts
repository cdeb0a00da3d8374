/*
 * Socket.IO servers in processes of their own, one of which is stopped, killed, started again or closed while the
 * others ask. What a gate in front of the broker cannot show: the process itself has not run for a while.
 */
import type { AdapterOptions, Incomplete, Member } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { io, type Socket } from 'socket.io-client';

interface Answer {
  id?: number;
  answer?: unknown;
  error?: string;
  url?: string;
}

const UNHURRIED: AdapterOptions = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000, requestsTimeout: 60_000 };
const MINUTE = 60_000;

const running = new Set<Far>();
const clients = new Set<Socket>();

/** A server in another process, and one client of it that answers what it is asked. */
class Far {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  client!: Socket;
  output = '';
  #asked = 0;

  constructor(environment: NodeJS.ProcessEnv) {
    this.child = fork(join(__dirname, 'server.mjs'), {
      env: { PATH: process.env['PATH'], NODE_ENV: 'test', ...environment },
      execArgv: ['--unhandled-rejections=strict'],
      silent: true,
    });
    running.add(this);
    this.child.stderr!.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null);
  }

  static async start(environment: NodeJS.ProcessEnv, adapter: AdapterOptions): Promise<Far> {
    const far = new Far({ ...environment, ADAPTER: JSON.stringify(adapter) });
    const { url } = await far.#answer(({ url }) => url !== undefined);
    far.client = io(url, { forceNew: true, reconnection: false });
    clients.add(far.client);
    far.client.on('ask', (answer: (id: string) => void) => answer('yes'));
    await until('the client is connected', () => far.client.connected);
    return far;
  }

  async ask<T>(question: string, ...args: unknown[]): Promise<T> {
    const id = ++this.#asked;
    const answered = this.#answer((message) => message.id === id);
    this.child.send({ id, question, args });
    const { answer, error } = await answered;
    if (error !== undefined) throw new Error(error);
    return answer as T;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  #answer(isIt: (message: Answer) => boolean): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const hear = (message: Answer) => {
        if (!isIt(message)) return;
        this.child.off('message', hear);
        resolve(message);
      };
      this.child.on('message', hear);
      void this.exited.then((code) => reject(new Error(`it has ended with ${code}: ${this.output}`)));
    });
  }
}

async function acquainted(all: readonly Far[]): Promise<void> {
  await until('all know each other', async () => {
    const counts = await Promise.all(all.map((each) => each.ask('count')));
    return counts.every((count) => count === all.length);
  });
}

const isAsked = ({ client }: Far) => new Promise((resolve) => client.once('ask', resolve));
const found = (far: Far) => far.ask<string[]>('sockets');

describe.each([
  ['redis', 'TEST_REDIS_URL'],
  ['rabbitmq', 'TEST_RABBITMQ_URL'],
])('processes over %s', (name, variable) => {
  let environment: NodeJS.ProcessEnv;

  beforeEach(() => {
    const prefix = `p${randomBytes(4).toString('hex')}.`;
    environment = { TRANSPORT: name, URL: process.env[variable], PREFIX: prefix };
  });

  afterEach(async () => {
    for (const client of clients) client.disconnect();
    clients.clear();
    for (const { child } of running) child.kill('SIGKILL');
    await Promise.all([...running].map(({ exited }) => exited));
    running.clear();
  });

  const start = (instance: string, adapter: AdapterOptions) =>
    Far.start({ ...environment, INSTANCE: instance }, adapter);

  async function three(adapter: AdapterOptions): Promise<[Far, Far, Far]> {
    const all = await Promise.all(['a', 'b', 'c'].map((instance) => start(instance, adapter)));
    await acquainted(all);
    return all as [Far, Far, Far];
  }

  it('answer without the one that is stopped, forget it, and take it back when it goes on', async () => {
    const all = await three({ heartbeatInterval: 500, heartbeatTimeout: 2_000, requestsTimeout: 500 });
    const [a, b, c] = all;
    const id = await c.ask<string>('id');
    c.signal('SIGSTOP');
    const asking = a.ask('ask', MINUTE);
    expect(await found(a)).toEqual([a, b].map(({ client }) => client.id).sort());
    expect(await a.ask('missing')).toEqual([{ request: 'fetchSockets', missing: [id] }]);
    expect(await asking).toEqual(['yes', 'yes']);
    expect(await a.ask('missing')).toEqual([{ request: 'emitWithAck', missing: [id] }]);
    await acquainted([a, b]);
    expect(await found(a)).toHaveLength(2);
    expect(await a.ask('missing')).toEqual([]);
    // Asked while it is stopped, answered with the first thing that it does: it has not lost the others.
    const counting = c.ask('count');
    c.signal('SIGCONT');
    expect(await counting).toBe(3);
    await acquainted(all);
    const ids = all.map(({ client }) => client.id).sort();
    for (const each of all) expect(await found(each)).toEqual(ids);
  });

  it('end at once what they have asked the one that is killed', async () => {
    const [a, b, c] = await three(UNHURRIED);
    const id = await c.ask<string>('id');
    c.client.off('ask');
    const asked = isAsked(c);
    const asking = a.ask('ask', MINUTE);
    await asked;
    c.signal('SIGKILL');
    expect(await asking).toEqual(['yes', 'yes']);
    expect(await a.ask<Incomplete[]>('missing')).toEqual([{ request: 'emitWithAck', missing: [id] }]);
    expect(await found(b)).toHaveLength(2);
    expect(await b.ask<Incomplete[]>('missing')).toEqual([{ request: 'fetchSockets', missing: [id] }]);
    await acquainted([a, b]);
    expect(await a.ask('askServers')).toEqual(['b']);
  });

  it.each(['SIGSTOP', 'SIGKILL'] as const)('count one that is started again after %s once', async (signal) => {
    const [a, b, c] = await three(UNHURRIED);
    const before = await c.ask<string>('id');
    c.signal(signal);
    const after = await start('c', UNHURRIED);
    await acquainted([a, b, after]);
    const ids = [a, b, after].map(({ client }) => client.id).sort();
    expect(await Promise.all([a, b, after].map(found))).toEqual([ids, ids, ids]);
    expect((await a.ask<Member[]>('servers')).map(({ id }) => id)).not.toContain(before);
    expect(await a.ask('missing')).toEqual([]);
  });

  it('end by themselves when they are closed, whatever they were asked', async () => {
    const [a, b, c] = await three(UNHURRIED);
    for (const { client } of [b, c]) client.off('ask');
    const asked = [b, c].map(isAsked);
    const asking = a.ask('ask', MINUTE);
    await Promise.all(asked);
    for (const each of [c, b]) {
      await each.ask('close');
      expect(await each.exited).toBe(0);
    }
    expect(await asking).toEqual(['yes']);
    expect(await a.ask('count')).toBe(1);
    expect(await a.ask('missing')).toEqual([]);
  });

  it('have said to their clients what they said in the turn in which they exit', async () => {
    const far = await start('a', UNHURRIED);
    const heard: number[] = [];
    far.client.on('bye', (n: number) => heard.push(n));
    await until('it has a websocket', () => far.client.io.engine.transport.name === 'websocket');
    await far.ask('exit', 'bye').catch(() => undefined);
    await until('the client is gone', () => !far.client.connected);
    expect(heard).toEqual([0, 1, 2]);
  });
});
