/*
 * A TCP balancer: a new connection goes to the ready gateway that has the fewest. It asks every gateway whether it is
 * ready, as balancers do, and tries the next one where it is not let in.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ms between two questions. */
const INTERVAL = 100;

interface Target {
  readonly url: string;
  readonly port: number;
  ready: boolean;
  connections: number;
}

export interface Balancer {
  readonly url: string;
  add(url: string): void;
  remove(url: string): void;
  close(): Promise<void>;
}

export async function openBalancer(): Promise<Balancer> {
  const targets = new Map<string, Target>();
  const open = new Set<Socket>();

  const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    track(client);
    pass(client, [...targets.values()].filter(({ ready }) => ready).sort(byConnections));
  });
  let closed = false;
  // One question at a time: a machine that is busy is asked no faster than it can answer.
  const watching = (async () => {
    while (!closed) {
      const ask = async (target: Target) => {
        const response = await fetch(`${target.url}/health/ready`).catch(() => undefined);
        await response?.arrayBuffer();
        target.ready = response?.ok ?? false;
      };
      await Promise.all([...targets.values()].map(ask));
      await sleep(INTERVAL);
    }
  })();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  function track(socket: Socket): void {
    open.add(socket.on('error', () => undefined).on('close', () => open.delete(socket)));
  }

  function pass(client: Socket, [target, ...others]: Target[]): void {
    if (!target) return void client.destroy();
    const gateway = connect({ port: target.port, host: '127.0.0.1', noDelay: true });
    track(gateway);
    target.connections++;
    let isThere = false;
    gateway.once('connect', () => {
      isThere = true;
      client.pipe(gateway).pipe(client);
    });
    gateway.once('close', () => {
      target.connections--;
      if (isThere) client.destroy();
      else pass(client, others);
    });
    client.once('close', () => gateway.destroy());
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add: (url) => targets.set(url, { url, port: Number(new URL(url).port), ready: true, connections: 0 }),
    remove: (url) => targets.delete(url),
    close: async () => {
      closed = true;
      await watching;
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function byConnections(one: Target, other: Target): number {
  return one.connections - other.connections;
}
