/*
 * The three transports, for cases that are the same on each: `prepare(prefix)` gives a maker, and what one maker makes
 * can hear each other. Two of them have a network, and can be reached through a gate.
 */
import { memory, rabbitmq, redis, type Transport } from '@app/broadcast';
import { openGate, type Gate } from './brokers/gate.js';

type Prepare = (prefix: string) => () => Transport;

/** A way to the broker that can be told to misbehave. */
export interface GatedTransport {
  transport: Transport;
  gate: Gate;
}

const redisUrl = process.env['TEST_REDIS_URL']!;
const rabbitmqUrl = process.env['TEST_RABBITMQ_URL']!;

export const transports: [name: string, prepare: Prepare][] = [
  [
    'memory',
    () => {
      const shared = memory();
      return () => shared;
    },
  ],
  ['redis', (prefix) => () => redis({ url: redisUrl, prefix })],
  ['rabbitmq', (prefix) => () => rabbitmq({ url: rabbitmqUrl, prefix })],
];

/** Those with a network: a straight way, and one through a gate of its own. */
export const networks: [name: string, prepare: Prepare, gated: (prefix: string) => Promise<GatedTransport>][] = [
  ['redis', transports[1]![1], (prefix) => behindGate(redisUrl, (url) => redis({ url, prefix }))],
  ['rabbitmq', transports[2]![1], (prefix) => behindGate(rabbitmqUrl, (url) => rabbitmq({ url, prefix }))],
];

/** Close the gate after the case. */
async function behindGate(url: string, transport: (url: string) => Transport): Promise<GatedTransport> {
  const gate = await openGate(Number(new URL(url).port));
  return { gate, transport: transport(gate.url(url)) };
}
