/*
 * A RabbitMQ of our own: free ports, own node name, own folder, own epmd (Erlang's name server). A start takes 7 to
 * 8 s, so one is shared by a whole test run, and only suites that kill it start a second.
 */
import { randomBytes } from 'node:crypto';
import { realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findBinary } from './binaries';
import { brokerFolder, BrokerProcess, freePort, started } from './broker-process';

export interface RabbitmqOptions {
  /** @default a free one */
  port?: number;
  /** Lines of rabbitmq.conf, e.g. `['heartbeat = 2']`. @default none */
  config?: readonly string[];
}

export class RabbitmqProcess extends BrokerProcess {
  /** rabbitmqctl: `await rabbitmq.ctl('list_queues', 'name', 'messages')`. Takes about a second. */
  ctl(...args: string[]): Promise<string> {
    return this.command('--quiet', ...args);
  }
}

export async function startRabbitmq({ port, config = [] }: RabbitmqOptions = {}): Promise<RabbitmqProcess> {
  // Debian's /usr/sbin/rabbitmq-server is a wrapper that changes the user; the folder named here has the real one.
  const file = findBinary('rabbitmq-server', '/usr/lib/rabbitmq/bin');
  const ctl = findBinary('rabbitmqctl', dirname(file), dirname(realpathSync(file)));
  const epmd = findBinary('epmd', dirname(realpathSync(findBinary('erl'))));
  port ??= await freePort();
  const [distribution, names] = [await freePort(), await freePort()];
  const folder = brokerFolder('rabbitmq');
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n');
  writeFileSync(join(folder, 'rabbitmq.conf'), config.map((line) => `${line}\n`).join(''));
  const env = {
    HOME: folder, // the Erlang cookie
    ERL_EPMD_PORT: String(names),
    RABBITMQ_NODENAME: `roomcast-${randomBytes(4).toString('hex')}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_LOGS: '-',
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    // Named even where there is nothing to say: otherwise the machine's own /etc/rabbitmq takes part.
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_CONFIG_FILES: join(folder, 'conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'rabbitmq-env.conf'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 2:2',
    // The script then becomes the Erlang VM; otherwise it waits for a child, and its exit says nothing about the VM's.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
  const rabbitmq = new RabbitmqProcess({
    name: 'rabbitmq',
    port,
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    folder,
    server: { file, env },
    // In the foreground: the daemon that the VM would start otherwise survives everything.
    companion: { file: epmd, args: ['-port', String(names), '-address', '127.0.0.1'] },
    client: { file: ctl, env },
    hello: Buffer.from('AMQP\0\0\x09\x01'),
    answer: Buffer.from([1, 0, 0]), // a method frame on channel 0: connection.start
    patience: 90_000,
  });
  return started(rabbitmq);
}
