/*
 * Two gateways that hear each other, on each transport: processes over a broker, two applications of one process on the
 * embedded transport.
 */
import { memory, readEnvironment } from '@app/broadcast';
import { randomBytes } from 'node:crypto';
import { startGateway } from '../../apps/gateway/src/gateway.js';
import { runGateway, UNLIMITED } from './processes.js';

export interface Pair {
  /** Where they listen. */
  readonly urls: [string, string];
  /** What they have printed. */
  output(): string;
  end(): Promise<void>;
}

export type StartPair = (environment?: NodeJS.ProcessEnv) => Promise<Pair>;

/** A broker's variables, with names of this case's own. */
export function brokerOf(transport: string): NodeJS.ProcessEnv {
  const variable = `${transport.toUpperCase()}_URL`;
  return {
    BROADCAST_TRANSPORT: transport,
    [variable]: process.env[`TEST_${variable}`],
    BROADCAST_PREFIX: `${randomBytes(4).toString('hex')}.`,
  };
}

export const pairs: [transport: string, start: StartPair][] = [
  ['memory', startHere],
  ['redis', (environment) => startProcesses({ ...brokerOf('redis'), ...environment })],
  ['rabbitmq', (environment) => startProcesses({ ...brokerOf('rabbitmq'), ...environment })],
];

export async function startProcesses(environment: NodeJS.ProcessEnv): Promise<Pair> {
  const gateways = await Promise.all(
    ['gw-1', 'gw-2'].map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })),
  );
  const [first, second] = gateways as [(typeof gateways)[0], (typeof gateways)[0]];
  return {
    urls: [first.url, second.url],
    output: () => gateways.map((gateway) => gateway.output()).join(''),
    end: async () => void (await Promise.all(gateways.map((gateway) => gateway.end('SIGTERM')))),
  };
}

async function startHere(environment: NodeJS.ProcessEnv = {}): Promise<Pair> {
  const transport = memory();
  const own = { PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'fatal', SHUTDOWN_GRACE: '0s' };
  const settings = { ...own, ...UNLIMITED, ...environment };
  const gateways = await Promise.all(
    ['gw-1', 'gw-2'].map((INSTANCE_ID) => startGateway(readEnvironment({ ...settings, INSTANCE_ID }), transport)),
  );
  const [first, second] = gateways as [(typeof gateways)[0], (typeof gateways)[0]];
  return {
    urls: [first.url, second.url],
    output: () => '',
    end: async () => void (await Promise.all(gateways.map(({ app }) => app.close()))),
  };
}
