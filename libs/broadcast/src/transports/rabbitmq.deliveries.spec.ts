import { afterEach, describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { setImmediate as turn } from 'node:timers/promises';
import { BroadcastError } from '../errors.js';
import { Deliveries } from './rabbitmq.deliveries.js';

const answers: string[] = [];
const channel = {
  ack: ({ fields }: { fields: { deliveryTag: number } }, all?: boolean) =>
    void answers.push(`ack ${all ? '≤' : ''}${fields.deliveryTag}`),
  nack: ({ fields }: { fields: { deliveryTag: number } }, _all?: boolean, requeue?: boolean) =>
    void answers.push(`${requeue ? 'requeue' : 'dead'} ${fields.deliveryTag}`),
};
const message = (deliveryTag: number, redelivered = false) =>
  ({ fields: { deliveryTag, redelivered } }) as unknown as ConsumeMessage;
const fine = () => undefined;
const failing = () => {
  throw new Error('no');
};
const fail = (cause: Error) => {
  throw cause;
};

afterEach(() => {
  answers.length = 0;
});

describe('deliveries', () => {
  it('are acknowledged together at the end of the turn', async () => {
    const deliveries = new Deliveries(channel, fail);
    for (let tag = 1; tag <= 3; tag++) deliveries.take(message(tag), fine);
    expect(answers).toEqual([]);
    await turn();
    expect(answers).toEqual(['ack ≤3']);
  });

  it('are acknowledged every hundred within a turn', async () => {
    const deliveries = new Deliveries(channel, fail);
    for (let tag = 1; tag <= 250; tag++) deliveries.take(message(tag), fine);
    expect(answers).toEqual(['ack ≤100', 'ack ≤200']);
    await turn();
    expect(answers).toEqual(['ack ≤100', 'ack ≤200', 'ack ≤250']);
  });

  it('that fail go back once, and then to the dead letters, without touching the others', async () => {
    const deliveries = new Deliveries(channel, fail);
    deliveries.take(message(1), fine);
    deliveries.take(message(2), failing);
    deliveries.take(message(3), failing);
    deliveries.take(message(4), fine);
    deliveries.take(message(5, true), failing);
    await turn();
    expect(answers).toEqual(['ack ≤1', 'requeue 2', 'requeue 3', 'ack ≤4', 'dead 5']);
  });

  it('that cannot be read are dead letters at once', async () => {
    const deliveries = new Deliveries(channel, fail);
    deliveries.take(message(1), () => {
      throw new BroadcastError('UNREADABLE', 'no');
    });
    expect(answers).toEqual(['dead 1']);
    await turn();
  });

  it('that are not to be trusted are dropped, but dead letters when they failed before', async () => {
    const deliveries = new Deliveries(channel, fail);
    const untrusted = () => {
      throw new BroadcastError('UNTRUSTED', 'no');
    };
    deliveries.take(message(1), untrusted);
    deliveries.take(message(2, true), untrusted);
    deliveries.take(message(3), untrusted);
    await turn();
    expect(answers).toEqual(['ack ≤1', 'dead 2', 'ack ≤3']);
  });

  it('are left alone after the end', async () => {
    const deliveries = new Deliveries(channel, fail);
    deliveries.take(message(1), fine);
    deliveries.end();
    deliveries.take(message(2), failing);
    await turn();
    expect(answers).toEqual([]);
  });

  it('report a channel that takes no answer', async () => {
    const failures: Error[] = [];
    const deliveries = new Deliveries({ ...channel, ack: failing }, (cause) => failures.push(cause));
    deliveries.take(message(1), fine);
    await turn();
    expect(failures).toEqual([new Error('no')]);
  });
});
