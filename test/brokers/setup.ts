/*
 * Before any test: one Redis and one RabbitMQ for the whole run, shared by all suites. Whoever kills a broker starts
 * one of its own. An address that is already in the environment is used instead.
 */
import type { BrokerProcess } from './broker-process';
import { startRabbitmq } from './rabbitmq';
import { startRedis } from './redis';

declare global {
  /** Set here, used by teardown.ts: jest offers no other way from one to the other. */
  var sharedBrokers: BrokerProcess[] | undefined;
}

export default async function setup(): Promise<void> {
  globalThis.sharedBrokers ??= [];
  const share = async (variable: string, start: () => Promise<BrokerProcess>) => {
    if (process.env[variable]) return;
    const broker = await start();
    globalThis.sharedBrokers?.push(broker);
    process.env[variable] = broker.url;
  };
  await Promise.all([share('TEST_REDIS_URL', startRedis), share('TEST_RABBITMQ_URL', startRabbitmq)]);
}
