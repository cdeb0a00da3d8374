/*
 * Every transport by the name that `BROADCAST_TRANSPORT` gives it. A new one is a file here and a line below.
 */
import type { Transport } from '../transport.js';
import { memory } from './memory.js';
import { rabbitmq } from './rabbitmq.js';
import { redis } from './redis.js';

export interface TransportSettings {
  REDIS_URL?: string;
  RABBITMQ_URL?: string;
  BROADCAST_PREFIX?: string;
}

export const transports = {
  memory: () => memory(),
  redis: ({ REDIS_URL: url, BROADCAST_PREFIX: prefix }) => redis({ url, prefix }),
  rabbitmq: ({ RABBITMQ_URL: url, BROADCAST_PREFIX: prefix }) => rabbitmq({ url, prefix }),
} satisfies Record<string, (settings: TransportSettings) => Transport>;

export type TransportName = keyof typeof transports;
