/*
 * What can be asked of a RabbitMQ by AMQP: what it is, whether it has the kinds of queues that are needed, and whether it
 * takes messages. What is made for that is deleted.
 */
import type { Environment } from '@app/broadcast';
import { connect, type ChannelModel } from 'amqplib';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail, messageOf, ok, unknown, type Check } from './check.js';
import { judgeAlarm, judgeVersion } from './judge.js';

const PATIENCE = 5_000;
/** Within which a broker that takes no messages says so, in ms. */
const ALARM = 1_000;

export async function askRabbitmq(settings: Environment): Promise<Check[]> {
  const { RABBITMQ_URL = 'amqp://127.0.0.1:5672', BROADCAST_PREFIX } = settings;
  const { host, pathname, protocol } = new URL(RABBITMQ_URL);
  const place = `RabbitMQ at ${host}${pathname === '/' ? '' : pathname}`;
  let connection: ChannelModel;
  try {
    connection = await open(RABBITMQ_URL);
  } catch (error) {
    return [fail('broker', `${place}: ${messageOf(error)}`, adviceOn(messageOf(error), protocol === 'amqps:'))];
  }
  const { version } = connection.connection.serverProperties as { version?: string };
  const checks = [ok('broker', place), judgeVersion('RabbitMQ', version, '3.10')];
  try {
    // On a connection of its own: the broker does not read from one any more that it does not take messages of.
    checks.push(judgeAlarm(await alarmOf(RABBITMQ_URL)));
    const [stream, quorum] = [
      await has(connection, 'stream', BROADCAST_PREFIX),
      await has(connection, 'quorum', BROADCAST_PREFIX),
    ];
    checks.push(judgeQueues('streams', stream, 'rooms with histories'), judgeQueues('quorum queues', quorum, 'jobs'));
    checks.push(unknown('clock', 'RabbitMQ does not tell its time: compare it by hand, or rely on NTP'));
  } catch (error) {
    checks.push(fail('broker', `${place}: ${messageOf(error)}`, 'look into its log.'));
  } finally {
    await connection.close().catch(() => undefined);
  }
  return checks;
}

export function judgeQueues(name: string, refusal: string | undefined, use: string): Check {
  if (refusal === undefined) return ok(name, 'supported');
  if (/ACCESS_REFUSED|\b403\b/.test(refusal)) {
    return fail(name, refusal, 'give the user the rights to configure, write and read: see "rights" in docs/cli.md.');
  }
  const advice = `${use} need them: rabbitmqctl enable_feature_flag all, and RabbitMQ 3.10 or later.`;
  return fail(name, refusal, advice);
}

/** Deletes what a look at jobs has left behind. */
export async function deleteQueues(url: string, queues: readonly string[]): Promise<void> {
  const connection = await open(url);
  try {
    for (const queue of queues) {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      // One that cannot be deleted closes the channel.
      await channel.deleteQueue(queue).then(
        () => channel.close(),
        () => undefined,
      );
    }
  } finally {
    await connection.close().catch(() => undefined);
  }
}

async function open(url: string): Promise<ChannelModel> {
  const properties = { clientProperties: { connection_name: 'roomcast doctor' } };
  const connection = await connect(url, { timeout: PATIENCE, ...properties });
  connection.on('error', () => undefined);
  return connection;
}

/** Why it takes no messages. `undefined`: it takes them. */
async function alarmOf(url: string): Promise<string | undefined> {
  const connection = await open(url);
  try {
    const reason = new Promise<string>((resolve) => connection.on('blocked', resolve));
    const channel = await connection.createConfirmChannel();
    channel.on('error', () => undefined);
    // To nobody: the first message is what makes it say so.
    channel.publish('', `roomcast.doctor.${randomBytes(8).toString('hex')}`, Buffer.from('?'));
    const confirmed = channel.waitForConfirms().then(
      () => undefined,
      () => undefined,
    );
    const silence = sleep(PATIENCE, 'it does not confirm what is published', { ref: false });
    const outcome = await Promise.race([reason, confirmed, silence]);
    if (outcome !== undefined) return outcome;
    // Some say so after the confirm.
    return await Promise.race([reason, sleep(ALARM, undefined, { ref: false })]);
  } finally {
    await Promise.race([connection.close().catch(() => undefined), sleep(ALARM, undefined, { ref: false })]);
    // Blocked, it does not hear a goodbye either.
    (connection.connection as unknown as { stream: { destroy: () => void } }).stream.destroy();
  }
}

/** What it refuses a queue of this kind with. `undefined`: it has them. */
async function has(connection: ChannelModel, type: string, prefix: string): Promise<string | undefined> {
  const channel = await connection.createChannel();
  let refusal: Error | undefined;
  channel.on('error', (error: Error) => (refusal = error));
  const queue = `${prefix}live_rooms.doctor.${randomBytes(6).toString('hex')}`;
  try {
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } });
    await channel.deleteQueue(queue);
    await channel.close();
    return undefined;
  } catch (error) {
    return messageOf(refusal ?? error);
  }
}

function adviceOn(message: string, isTls: boolean): string {
  if (/ACCESS[_-]REFUSED/.test(message))
    return 'check the user and the password in RABBITMQ_URL: amqp://user:password@host.';
  if (/NOT_ALLOWED/.test(message)) {
    return 'the vhost of RABBITMQ_URL has to exist, and the user to have permissions in it.';
  }
  if (/ECONNREFUSED/.test(message)) return 'nothing listens there: check RABBITMQ_URL, and whether RabbitMQ runs.';
  if (/ENOTFOUND|EAI_AGAIN/.test(message)) return 'there is no host of that name: check RABBITMQ_URL.';
  if (isTls && /certificate|self.signed|altnames/i.test(message)) {
    return 'the certificate is not trusted here: name its authority in NODE_EXTRA_CA_CERTS.';
  }
  if (isTls) return 'it does not speak TLS there, or not on this port: try amqp://, or the port that has TLS (5671).';
  return 'check RABBITMQ_URL; where the server wants TLS, it is amqps://.';
}
