/*
 * RabbitMQ against the suite: the shared one, the same behind a gate, and one of its own that may be killed.
 */
import { rabbitmq } from '@app/broadcast';
import { conformance } from '@app/broadcast/testing';
import { connect, type ChannelModel } from 'amqplib';
import { openGate, type Gate } from '../brokers/gate.js';
import { startRabbitmq, type RabbitmqProcess } from '../brokers/rabbitmq.js';

const url = process.env['TEST_RABBITMQ_URL']!;
const gates: Gate[] = [];
let mortal: RabbitmqProcess | undefined;
let observer: ChannelModel;

beforeAll(async () => {
  observer = await connect(url);
});

afterAll(async () => {
  await observer.close();
  await Promise.all([...gates.map((gate) => gate.close()), mortal?.stop()]);
});

conformance(
  'rabbitmq',
  { network: true, redelivers: true },
  {
    transport: (prefix) => rabbitmq({ url, prefix }),
    gated: async (prefix) => {
      const gate = await openGate(Number(new URL(url).port));
      gates.push(gate);
      return { gate, transport: rabbitmq({ url: gate.url(url), prefix }) };
    },
    mortal: async (prefix) => {
      mortal ??= await startRabbitmq();
      return { broker: mortal, transport: rabbitmq({ url: mortal.url, prefix }) };
    },
    deadLetters: async (prefix) => {
      const channel = await observer.createChannel();
      const messages: string[] = [];
      for (;;) {
        const message = await channel.get(`${prefix}live_rooms.dead`, { noAck: true });
        if (!message) break;
        messages.push(message.content.toString());
      }
      await channel.close();
      return messages;
    },
  },
);
