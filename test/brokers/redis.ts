/*
 * A Redis server of our own: free port, own folder, nothing kept on disk unless the arguments ask for it.
 */
import { findBinary } from './binaries';
import { brokerFolder, BrokerProcess, freePort, started } from './broker-process';

export interface RedisOptions {
  /** @default a free one */
  port?: number;
  /** Further arguments, e.g. `['--appendonly', 'yes']` for data that survives `kill()`. @default none */
  args?: readonly string[];
}

export class RedisProcess extends BrokerProcess {
  /** `await redis.cli('client', 'list')` */
  cli(...args: string[]): Promise<string> {
    return this.command(...args);
  }
}

export async function startRedis({ port, args = [] }: RedisOptions = {}): Promise<RedisProcess> {
  const [file, client] = [findBinary('redis-server'), findBinary('redis-cli')];
  port ??= await freePort();
  const folder = brokerFolder('redis');
  const redis = new RedisProcess({
    name: 'redis',
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    server: {
      file,
      args: [
        ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
        ...['--save', '', '--appendonly', 'no', ...args],
      ],
    },
    client: { file: client, args: ['-p', String(port)] },
    hello: Buffer.from('PING\r\n'),
    answer: Buffer.from('+PONG'),
    patience: 10_000,
  });
  return started(redis);
}
