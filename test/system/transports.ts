/*
 * The three transports, for cases that are the same on each: `prepare(prefix)` gives a maker, and what one maker makes
 * can hear each other.
 */
import { memory, rabbitmq, redis, type Transport } from '@app/broadcast';

type Prepare = (prefix: string) => () => Transport;

export const transports: [name: string, prepare: Prepare][] = [
  [
    'memory',
    () => {
      const shared = memory();
      return () => shared;
    },
  ],
  ['redis', (prefix) => () => redis({ url: process.env['TEST_REDIS_URL'], prefix })],
  ['rabbitmq', (prefix) => () => rabbitmq({ url: process.env['TEST_RABBITMQ_URL'], prefix })],
];
