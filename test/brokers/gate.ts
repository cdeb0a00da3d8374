/*
 * A TCP gate in front of a broker: cuts, refuses, swallows or slows what passes, so that an outage of the network is
 * an ordinary line of a test. It does not look into the bytes.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Gate {
  readonly port: number;
  /** Connections that clients hold open at the moment, black-holed ones included. */
  readonly connections: number;
  /** The broker's address, through this gate. */
  url(brokerUrl: string): string;
  /** Lets everything pass at full speed. Connections that were black-holed have lost bytes: they are reset. */
  pass(): void;
  /** Resets all connections; new ones pass, as slowly as before. */
  cut(): void;
  /** Resets all connections, and every new one as soon as it is made, as a balancer does with nobody behind it. */
  refuse(): void;
  /** Connections stay open and new ones are accepted, but nothing arrives anywhere: bytes and ends are dropped. */
  blackhole(): void;
  /** What clients say arrives, and nothing comes back: the broker's bytes and ends are dropped. */
  deafen(): void;
  /** Each chunk arrives `ms` later, in each direction; the order is kept. */
  slow(ms: number): void;
  /** Resets all connections and stops listening. */
  close(): Promise<void>;
}

/** One client and its way to the broker. `holed`, `deaf`: it has lost bytes, which must never be followed by others. */
interface Pair {
  readonly client: Socket;
  readonly broker?: Socket;
  holed: boolean;
  /** What the broker says does not arrive. */
  deaf: boolean;
}

export async function openGate(targetPort: number): Promise<Gate> {
  const pairs = new Set<Pair>();
  let mode: 'pass' | 'refuse' | 'blackhole' | 'deafen' = 'pass';
  let delay = 0;

  const server = createServer({ noDelay: true }, (client) => {
    if (mode === 'refuse') return void client.on('error', ignore).resetAndDestroy();
    const holed = mode === 'blackhole';
    const broker = holed ? undefined : connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    const pair: Pair = { client, broker, holed, deaf: mode === 'deafen' };
    pairs.add(pair);
    client.on('error', ignore);
    client.on('close', () => {
      if (!broker || broker.destroyed) pairs.delete(pair);
    });
    if (!broker) return void client.resume();
    broker.on('close', () => {
      if (client.destroyed) pairs.delete(pair);
    });
    forward(pair, client, broker);
    forward(pair, broker, client);
  });

  function forward(pair: Pair, from: Socket, to: Socket): void {
    let last = Promise.resolve();
    const later = (deliver: () => void) => {
      const due = Date.now() + delay;
      last = last
        .then(() => (due > Date.now() ? sleep(due - Date.now(), undefined, { ref: false }) : undefined))
        .then(() => (pair.holed || (pair.deaf && to === pair.client) ? undefined : deliver()));
    };
    from.on('data', (chunk) =>
      later(() => {
        if (to.writable && !to.write(chunk)) from.pause();
      }),
    );
    to.on('drain', () => from.resume());
    from.on('error', ignore);
    from.on('close', (failed) => later(() => (failed ? reset(to) : void to.end())));
  }

  function resetPairs(which: (pair: Pair) => boolean = () => true): void {
    for (const pair of [...pairs].filter(which)) {
      pair.holed = true;
      pairs.delete(pair);
      reset(pair.client);
      if (pair.broker) reset(pair.broker);
    }
  }

  function pass(ms: number): void {
    mode = 'pass';
    delay = ms;
    resetPairs((pair) => pair.holed || pair.deaf);
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    port,
    get connections() {
      return [...pairs].filter(({ client }) => !client.destroyed).length;
    },
    url(brokerUrl) {
      const url = new URL(brokerUrl);
      url.hostname = '127.0.0.1';
      url.port = String(port);
      return url.href;
    },
    pass: () => pass(0),
    slow: pass,
    cut() {
      mode = 'pass';
      resetPairs();
    },
    refuse() {
      mode = 'refuse';
      resetPairs();
    },
    blackhole() {
      mode = 'blackhole';
      for (const pair of pairs) pair.holed = true;
    },
    deafen() {
      mode = 'deafen';
      for (const pair of pairs) pair.deaf = true;
    },
    async close() {
      mode = 'refuse';
      resetPairs();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function reset(socket: Socket): void {
  // resetAndDestroy() on a socket that is still connecting waits for the connection first. On one that is ending it fails,
  // leaves the socket open for good, and the process spins at its own end (Node.js 20, Environment::CleanupHandles).
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

function ignore(): void {
  // 'close' follows, and that is what the gate acts on.
}
