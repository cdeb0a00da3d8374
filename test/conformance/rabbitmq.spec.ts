/*
 * RabbitMQ against the suite: the shared one, the same behind a gate, and one of its own that may be killed.
 */
import { Bus, rabbitmq, type BusOptions, type Mark } from '@app/broadcast';
import { collect, conformance, until } from '@app/broadcast/testing';
import { connect, type ChannelModel } from 'amqplib';
import { randomBytes } from 'node:crypto';
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
  { network: true, redelivers: true, log: 'shared' },
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
    forget: async (prefix) => {
      const channel = await observer.createChannel();
      await channel.deleteQueue(`${prefix}live_rooms.log`);
      await channel.deleteQueue(`${prefix}live_rooms.records`);
      await channel.close();
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

describe('rabbitmq, further', () => {
  it('says that a vhost is refused', async () => {
    const bus = new Bus(rabbitmq({ url: `${url}/not-there` }));
    bus.on('error', () => undefined);
    const place = `${new URL(url).host}/not-there`;
    await expect(bus.connect(2_000)).rejects.toThrow(`no link to RabbitMQ at ${place}: the broker refused the vhost: `);
    await bus.close();
  });

  /** Two buses on the broker that may be harmed, one for each direction. */
  async function pair(options: BusOptions = {}): Promise<{ broker: RabbitmqProcess; speaker: Bus; hearer: Bus }> {
    const broker = (mortal ??= await startRabbitmq());
    const [speaker, hearer] = ['speaker', 'hearer'].map((instance) => {
      const bus = new Bus(rabbitmq({ url: broker.url }), {
        instance,
        outboxAge: 500,
        probeInterval: 200,
        probeMisses: 3,
        linger: 0,
        ...options,
      });
      return bus.on('error', () => undefined);
    }) as [Bus, Bus];
    await Promise.all([speaker.connect(15_000), hearer.connect(15_000)]);
    return { broker, speaker, hearer };
  }

  it('tells that the broker is short of memory: publishing is refused in time, hearing goes on, no link is dropped', async () => {
    const { broker, speaker, hearer } = await pair();
    const heard = collect(hearer, 'room:a');
    await heard.ready();
    await broker.ctl('set_vm_memory_high_watermark', '0.00001');
    await until('both are told', () => speaker.blocked && hearer.blocked);
    // The connection that hears is not the one that the broker has stopped to read from.
    await collect(hearer, 'room:b').ready(2_000);
    await expect(speaker.publish('room:a', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    // Longer than the probe would take to call the link deaf.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect([speaker.state, hearer.state, speaker.counts.outages]).toEqual(['up', 'up', 0]);
    await broker.ctl('set_vm_memory_high_watermark', '0.6');
    await until('both are told again', () => !speaker.blocked && !hearer.blocked);
    await speaker.publish('room:a', Buffer.from('after'));
    await until('it is heard', () => heard.messages.includes('after'));
    await Promise.all([speaker.close(), hearer.close()]);
  }, 60_000);

  it('keeps its links while the broker is short of memory, where rooms have a history too; what is said again after it comes once', async () => {
    const { broker, speaker, hearer } = await pair({ history: { size: 100 }, watchInterval: 200, callTimeout: 1_500 });
    const heard = collect(hearer, 'log:a');
    const gaps: unknown[] = [];
    hearer.on('gap', (cause) => gaps.push(cause));
    await hearer.logs.follow('a', () => undefined).ready();
    const append = (id: string) => speaker.logs.append('a', Buffer.from(`{"id":"${id}","event":"chat"}`), id);
    const pos = (await append('before'))!;
    const before = [speaker, hearer].map(({ counts }) => ['up', counts.outages]);
    await until('it is heard', () => hearer.logs.markOf('a')?.id === 'before');
    await broker.ctl('set_vm_memory_high_watermark', '0.00001');
    await until('both are told', () => speaker.blocked && hearer.blocked);
    await expect(append('during')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    // Longer than looking for the end of the stream would take to call the link lost, several times over.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect([speaker, hearer].map(({ state, counts }) => [state, counts.outages])).toEqual(before);
    // Who comes back to a room that is heard here is served meanwhile.
    const missed = (mark: Mark) => hearer.logs.replay('a', mark, ({ entries }) => entries.map(({ id }) => id));
    expect(await missed({ pos, id: 'before' })).toEqual([]);
    await broker.ctl('set_vm_memory_high_watermark', '0.6');
    await until('both are told again', () => !speaker.blocked && !hearer.blocked);
    for (const id of ['during', 'after']) await append(id);
    await until('all is heard', () => heard.messages.length === 3);
    expect(await missed({ pos, id: 'before' })).toEqual(['during', 'after']);
    expect(gaps).toEqual([]);
    await Promise.all([speaker.close(), hearer.close()]);
  }, 120_000);

  it('says that the broker is short of memory where that keeps it from opening a link, until it opens one', async () => {
    const broker = (mortal ??= await startRabbitmq());
    await broker.ctl('set_vm_memory_high_watermark', '0.00001');
    const bus = new Bus(rabbitmq({ url: broker.url }), { history: { size: 100 }, backoff: { max: 50 } });
    const errors: string[] = [];
    const blocked: unknown[][] = [];
    bus.on('error', ({ message }) => errors.push(message));
    bus.on('blocked', (...told) => blocked.push(told));
    const refusal = await bus.connect(7_000).catch((error: unknown) => error);
    expect(refusal).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('(low on memory)') as string,
    });
    // Longer than an attempt takes.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect([bus.blocked, blocked]).toEqual([true, [[true, 'low on memory']]]);
    expect(bus.trouble).toMatch(/^rabbitmq: the broker takes no messages \(low on memory\), .*; reconnecting$/);
    expect(errors).toEqual([bus.trouble]);
    await broker.ctl('set_vm_memory_high_watermark', '0.6');
    await bus.ready(20_000);
    expect([bus.blocked, blocked.slice(1), bus.trouble]).toEqual([false, [[false]], undefined]);
    await bus.logs.append('a', Buffer.from('{"id":"1","event":"chat"}'), '1');
    await bus.close();
  }, 60_000);

  it('comes back when an operator deletes its queue or closes its connections, and leaves nothing behind', async () => {
    // The probe would notice too, later.
    const { broker, speaker, hearer } = await pair({ probeInterval: 60_000 });
    const heard = collect(hearer, 'room:a');
    await heard.ready();
    const queues = async () =>
      (await broker.ctl('list_queues', '--silent', 'name')).split('\n').filter((name) => name.includes('.i.'));
    const own = (await queues()).find((name) => name.includes('.i.hearer.'))!;
    await broker.ctl('delete_queue', own).catch(() => broker.ctl('close_all_connections', 'the queue is locked'));
    await until('it has noticed', () => hearer.counts.outages > 0);
    await broker.ctl('close_all_connections', 'on purpose');
    await until('both have noticed', () => speaker.counts.outages > 0);
    await Promise.all([speaker.ready(15_000), hearer.ready(15_000)]);
    await until('it is heard again', async () => {
      await speaker.publish('room:a', Buffer.from('x')).catch(() => undefined);
      return heard.messages.length > 0;
    });
    await Promise.all([speaker.close(), hearer.close()]);
    await until('no queue stays', async () => (await queues()).length === 0);
  }, 60_000);

  it('is not deaf for longer than the probe takes when an operator deletes the exchange of the rooms', async () => {
    const prefix = `x${randomBytes(4).toString('hex')}.`;
    const make = (instance: string) => {
      const bus = new Bus(rabbitmq({ url, prefix }), { instance, probeInterval: 200, probeMisses: 3 });
      return bus.on('error', () => undefined);
    };
    // It only listens: no publish of its own would find out.
    const hearer = make('hearer');
    await hearer.connect(15_000);
    const heard = collect(hearer, 'room:a');
    await heard.ready();
    const operator = await connect(url);
    const channel = await operator.createChannel();
    await channel.deleteExchange(`${prefix}live_rooms`);
    await operator.close();
    await until('it has noticed', () => hearer.counts.outages === 1);
    await hearer.ready(15_000);
    const speaker = make('speaker');
    await speaker.connect(15_000);
    await speaker.publish('room:a', Buffer.from('after'));
    await until('it is heard', () => heard.messages.includes('after'));
    await Promise.all([speaker.close(), hearer.close()]);
  });

  it('hears a room in the turn that joins it, until it hears too much that it does not want; then room by room', async () => {
    const { broker, speaker, hearer } = await pair();
    const bindings = async () => {
      const lines = await broker.ctl('list_bindings', '--silent', 'destination_name', 'routing_key');
      return lines
        .split('\n')
        .filter((line) => line.includes('.i.hearer.'))
        .map((line) => line.split('\t')[1])
        .filter((key) => key?.startsWith('room.'));
    };
    const first = collect(hearer, 'room:a');
    await Promise.resolve(); // the turn of the join: nobody has answered anything yet
    await speaker.publish('room:a', Buffer.from('at once'));
    await until('it is heard', () => first.messages.length === 1);
    expect(await bindings()).toEqual(['room.#']);

    for (let i = 0; i < 300; i++) await speaker.publish('room:unwanted', Buffer.from('x'));
    await until('the rooms are bound one by one', async () => (await bindings()).join() === 'room.a');
    await speaker.publish('room:a', Buffer.from('still heard'));
    await until('it is still heard', () => first.messages.length === 2);
    first.close();
    await until('the room that was left is not bound any more', async () => (await bindings()).length === 0);
    await Promise.all([speaker.close(), hearer.close()]);
  }, 60_000);
});
