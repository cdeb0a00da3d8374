/*
 * The apps as an operator runs them: processes of the built files, told everything by their environment.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { io, type Socket } from 'socket.io-client';
import { until } from '@app/broadcast/testing';

export interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far, on both streams. */
  output: () => string;
  /** Sends a signal and resolves with the exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface RunningGateway extends Running {
  readonly url: string;
  ready(): Promise<{ status: number; body: Ready }>;
}

export interface Ready {
  status: string;
  instance: string;
  draining: boolean;
  broker: { transport: string; state: string; outages: number; untrusted: number };
}

const running = new Set<ChildProcess>();
const clients = new Set<Client>();

/** For `afterAll`: nothing stays behind, whatever a case did. */
export function endAll(): void {
  for (const child of running) child.kill('SIGKILL');
  for (const client of clients) client.close();
}

/** @param wrapper a command that runs the one after it */
export function runNode(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  wrapper: readonly string[] = [],
): Running {
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'test', NO_COLOR: '1', ...environment };
  const [command, ...rest] = [...wrapper, process.execPath, '--unhandled-rejections=strict', ...args] as [string];
  const child = spawn(command, rest, { env });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit').then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return {
    child,
    output: () => output,
    end: async (signal) => {
      if (signal) child.kill(signal);
      return exited;
    },
  };
}

/** Cases that are about something else say as much as they like. */
export const UNLIMITED = {
  RATE_LIMIT: 'off',
  RATE_LIMIT_USER: 'off',
  RATE_LIMIT_ROOM: 'off',
  JOIN_LIMIT: 'off',
  HANDSHAKE_RATE: 'off',
  MAX_ROOMS_PER_SOCKET: 'off',
  MAX_CONNECTIONS: 'off',
  MAX_CONNECTIONS_PER_USER: 'off',
};

/** Starts a gateway on a free port and waits until it listens. Without limits, where none is given. */
export async function runGateway(
  environment: NodeJS.ProcessEnv,
  wrapper: readonly string[] = [],
): Promise<RunningGateway> {
  const settings = { PORT: '0', HOST: '127.0.0.1', ...UNLIMITED, ...environment };
  const gateway = runNode(['dist/apps/gateway/src/main.js'], settings, wrapper);
  const address = () => /listens on (http:[^\s"]+)/.exec(gateway.output())?.[1];
  await until(
    'the gateway listens',
    () => {
      if (gateway.child.exitCode !== null) throw new Error(`the gateway ended:\n${gateway.output()}`);
      return address() !== undefined;
    },
    60_000,
  );
  const url = address()!;
  const ready = async () => {
    const response = await fetch(`${url}/health/ready`);
    return { status: response.status, body: (await response.json()) as Ready };
  };
  return { ...gateway, url, ready };
}

export interface Answer {
  ok: boolean;
  count?: number;
  id?: string;
  pos?: string;
  recovered?: boolean;
  missed?: Stored[];
  messages?: Stored[];
  complete?: boolean;
  error?: { code: string; message: string; retryAfter?: number };
}

export interface Heard {
  event: string;
  data: unknown;
  meta?: { room: string; id?: string; at: number; from?: string; pos?: string };
}

/** A message out of a room's history. */
export interface Stored {
  event: string;
  data: unknown;
  room: string;
  id: string;
  at: number;
  from?: string;
  pos: string;
}

const PRESENCE = 'room:presence';

/** A real client that remembers everything it hears. */
export class Client {
  readonly socket: Socket;
  /** But for presence, which comes beside everything else. */
  readonly heard: Heard[] = [];
  readonly #presence: Heard[] = [];

  constructor(url: string, user?: string, options: object = {}) {
    this.socket = io(url, {
      auth: user === undefined ? {} : { user },
      forceNew: true,
      reconnectionDelayMax: 500,
      ...options,
    });
    clients.add(this);
    this.socket.onAny((event: string, data: unknown, meta: Heard['meta']) => {
      (event === PRESENCE ? this.#presence : this.heard).push({ event, data, meta });
    });
  }

  ask<T = Answer>(request: string, ...args: unknown[]): Promise<T> {
    const answer = this.socket.timeout(15_000).emitWithAck(request, ...args) as Promise<T>;
    // A case that has failed already does not wait for it.
    answer.catch(() => undefined);
    return answer;
  }

  async join(room: string): Promise<this> {
    const answer = await this.ask('room:join', { room });
    if (!answer.ok) throw new Error(answer.error?.message);
    return this;
  }

  say(room: string, data: unknown, id?: string): Promise<Answer> {
    return this.ask('room:send', { room, event: 'chat', data, id });
  }

  /** The content of the chat messages heard so far, in order. */
  get chats(): unknown[] {
    return this.dataOf('chat');
  }

  /** The content of what was heard of an event so far, in order. */
  dataOf(name: string): unknown[] {
    return (name === PRESENCE ? this.#presence : this.heard)
      .filter(({ event }) => event === name)
      .map(({ data }) => data);
  }

  close(): void {
    clients.delete(this);
    this.socket.disconnect();
  }
}
