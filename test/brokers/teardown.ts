/*
 * After all tests: ends the brokers that setup.ts started.
 */
import './setup';

export default async function teardown(): Promise<void> {
  const brokers = globalThis.sharedBrokers ?? [];
  globalThis.sharedBrokers = undefined;
  await Promise.all(brokers.map((broker) => broker.stop()));
  delete process.env['TEST_REDIS_URL'];
  delete process.env['TEST_RABBITMQ_URL'];
}
