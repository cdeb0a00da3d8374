/*
 * The rows of docs/guarantees.md: what happens to a room with history in each fault, over real brokers. Some cases have a
 * negative control: what would be believed, or lost, without the precaution.
 */
import { rabbitmq, redis, type Transport } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { connect } from 'amqplib';
import { randomBytes } from 'node:crypto';
import { openGate, type Gate } from '../brokers/gate.js';
import { startRedis, type RedisProcess } from '../brokers/redis.js';
import { networks } from '../transports.js';
import { append, busOn, closeBuses, insist, load, payloadOf, Reader } from './stage.js';

const gates: Gate[] = [];
const brokers: { stop(): Promise<void> }[] = [];
const rabbitmqUrl = process.env['TEST_RABBITMQ_URL']!;

afterEach(async () => {
  await closeBuses();
  await Promise.all(gates.splice(0).map((gate) => gate.close()));
  await Promise.all(brokers.splice(0).map((broker) => broker.stop()));
});

function newPrefix(): string {
  return `g${randomBytes(4).toString('hex')}.`;
}

function kept<T extends { stop(): Promise<void> }>(broker: T): T {
  brokers.push(broker);
  return broker;
}

describe.each(networks)('a room with history over %s', (name, prepare, gated) => {
  /** One who speaks and one who hears, the latter behind a gate unless it is the speaker who is to be cut off. */
  async function pair(behind: 'speaker' | 'reader') {
    const prefix = newPrefix();
    const straight = prepare(prefix)();
    const { transport, gate } = await gated(prefix);
    gates.push(gate);
    const [speaker, hearer] = await Promise.all([
      busOn(behind === 'speaker' ? transport : straight),
      busOn(behind === 'reader' ? transport : straight),
    ]);
    return { gate, speaker, hearer, reader: await Reader.of(hearer, 'r') };
  }

  it('misses and doubles nothing when the links of a reader are reset, again and again', async () => {
    const { gate, speaker, hearer, reader } = await pair('reader');
    const saying = load(speaker, 'r');
    for (let i = 1; i <= 5; i++) {
      await until('messages flow', () => reader.ids.length > i * 40 && hearer.state === 'up', 20_000);
      gate.cut();
      await until('it has noticed', () => hearer.counts.outages === i, 20_000);
    }
    await until('it is back', () => hearer.state === 'up', 20_000);
    await reader.expects(await saying.stop());
    expect(reader.gaps).toEqual([]);
  });

  it('misses and doubles nothing when the broker hears a speaker that hears nothing', async () => {
    const { gate, speaker, reader } = await pair('speaker');
    const saying = load(speaker, 'r');
    for (let i = 1; i <= 2; i++) {
      await until('messages flow', () => reader.ids.length > i * 50, 20_000);
      const { outages } = speaker.counts;
      gate.deafen();
      await until('it has noticed', () => speaker.counts.outages > outages, 20_000);
      gate.pass();
    }
    await reader.expects(await saying.stop());
    expect(reader.gaps).toEqual([]);
  });

  it('misses and doubles nothing when a reader hears nothing over a link that looks well', async () => {
    const { gate, speaker, hearer, reader } = await pair('reader');
    const saying = load(speaker, 'r');
    await until('messages flow', () => reader.ids.length > 50);
    gate.blackhole();
    await until('it has noticed', () => hearer.counts.outages > 0, 20_000);
    gate.pass();
    await reader.expects(await saying.stop());
    expect(reader.gaps).toEqual([]);
  });

  it('has what was executed late, after its sender was refused, once', async () => {
    const prefix = newPrefix();
    const url = name === 'redis' ? kept(await startRedis()) : undefined;
    const transport = url ? redis({ url: url.url, prefix }) : prepare(prefix)();
    const { transport: slow, gate } = url
      ? await behindGate(url.port, (to) => redis({ url: to, prefix }), url.url)
      : await gated(prefix);
    gates.push(gate);
    const [speaker, hearer] = await Promise.all([
      busOn(slow, { callTimeout: 2_000, appendTimeout: 300, probeInterval: 60_000 }),
      busOn(transport),
    ]);
    const reader = await Reader.of(hearer, 'r');
    gate.slow(1_500);
    await expect(append(speaker, 'r', 'late')).rejects.toMatchObject({ code: 'UNCERTAIN' });
    await reader.expects(['late']);
    gate.slow(0);
    const again = await insist(speaker, 'r', 'late');
    expect([undefined, reader.positions[0]]).toContain(again);
    await insist(hearer, 'r', 'next');
    await reader.expects(['late', 'next']);
  });
});

async function behindGate(port: number, make: (url: string) => Transport, url: string) {
  const gate = await openGate(port);
  return { gate, transport: make(gate.url(url)) };
}

describe('a room with history over redis', () => {
  async function own(args: readonly string[] = []): Promise<RedisProcess> {
    return kept(await startRedis({ args }));
  }

  it('misses nothing when Redis drops a subscriber that is too slow', async () => {
    const broker = await own();
    const transport = redis({ url: broker.url });
    const [speaker, hearer] = await Promise.all([busOn(transport), busOn(transport)]);
    const reader = await Reader.of(hearer, 'r');
    await broker.cli('config', 'set', 'client-output-buffer-limit', 'pubsub 16kb 16kb 1');
    const ids = Array.from({ length: 20 }, (_, i) => `large-${i}`);
    for (const id of ids) {
      for (const end = Date.now() + 20_000; ;) {
        const said = await speaker.logs.append('r', payloadOf(id, 40_000), id).catch(() => undefined);
        if (said) break;
        if (Date.now() > end) throw new Error('it is never said');
      }
    }
    await broker.cli('config', 'set', 'client-output-buffer-limit', 'pubsub 32mb 8mb 60');
    await until('it is back', () => hearer.state === 'up', 20_000);
    await reader.expects(ids);
    expect(hearer.counts.outages).toBeGreaterThan(0);
    expect(hearer.counts.caughtUp).toBeGreaterThan(0);
    expect(reader.gaps).toEqual([]);
  });

  it('keeps everything when Redis is killed, with a file that is appended to', async () => {
    const broker = await own(['--appendonly', 'yes', '--appendfsync', 'everysec']);
    const transport = redis({ url: broker.url });
    const [speaker, hearer] = await Promise.all([busOn(transport), busOn(transport)]);
    const reader = await Reader.of(hearer, 'r');
    const saying = load(speaker, 'r', 1);
    await until('messages flow', () => reader.ids.length > 100);
    await broker.kill();
    await broker.start();
    const before = reader.ids.length;
    await until('messages flow again', () => reader.ids.length > before + 50, 20_000);
    await reader.expects(await saying.stop());
    expect(reader.gaps).toEqual([]);
  });

  it('tells of a gap when Redis is killed and keeps nothing', async () => {
    const broker = await own();
    const transport = redis({ url: broker.url });
    const [speaker, hearer] = await Promise.all([busOn(transport), busOn(transport)]);
    const reader = await Reader.of(hearer, 'r');
    await insist(speaker, 'r', 'before');
    await until('it is heard', () => reader.ids.length === 1);
    const since = { pos: reader.positions[0]!, id: 'before' };
    expect(await reader.recovers(since)).toBe(true);
    await broker.kill();
    await broker.start();
    await until('it is told', () => reader.gaps.length === 1, 20_000);
    await insist(speaker, 'r', 'after');
    await reader.expects(['before', 'after']);
    expect(await reader.recovers(since)).toBe(false);
  });

  it('tells of a gap when a replica takes over that had not got everything, though its numbers go on', async () => {
    const master = await own();
    const way = await openGate(master.port);
    gates.push(way);
    const replica = await own(['--replicaof', '127.0.0.1', String(way.port)]);
    const linked = async () => (await replica.cli('info', 'replication')).includes('master_link_status:up');
    await until('the replica follows', linked, 20_000);

    // As behind Sentinel: each new link goes to whoever is the master.
    let url = master.url;
    const transport: Transport = {
      ...redis({ url }),
      open: (events, options) => redis({ url }).open(events, options),
    };
    const [speaker, hearer] = await Promise.all([busOn(transport), busOn(transport)]);
    const reader = await Reader.of(hearer, 'r');
    for (let i = 1; i <= 100; i++) await append(speaker, 'r', `both-${i}`);
    const tops = () => replica.cli('hget', '{live_room:r}:meta', 's');
    await until('the replica has them', async () => (await tops()).trim() === '100');
    way.blackhole();
    for (let i = 1; i <= 50; i++) await append(speaker, 'r', `lost-${i}`);
    await until('they are heard', () => reader.ids.length === 150);
    const since = { pos: reader.positions[149]!, id: 'lost-50' };

    await replica.cli('replicaof', 'no', 'one');
    const other = await busOn(redis({ url: replica.url }));
    for (let i = 1; i <= 60; i++) await append(other, 'r', `new-${i}`);
    // The control: the epoch is the same and the number is there, so whoever compares these would go on after it.
    const { entries } = await other.logs.read('r', { from: since.pos, limit: 100 });
    expect(entries.map(({ id }) => id)).toEqual(Array.from({ length: 10 }, (_, i) => `new-${i + 51}`));

    url = replica.url;
    await master.kill();
    await until('it is told', () => reader.gaps.length === 1, 20_000);
    expect(reader.gaps[0]).toContain('it has been replaced since');
    expect(await reader.recovers(since)).toBe(false);
    expect(await reader.recovers({ pos: reader.positions[99]!, id: 'both-100' })).toBe(true);
    await insist(speaker, 'r', 'after');
    await until('it goes on', () => reader.ids.at(-1) === 'after');
    expect(reader.ids.length).toBe(151);
  });
});

describe('a room with history over rabbitmq', () => {
  /** Hands it a channel to the shared broker, as an operator has it. */
  async function operate<T>(work: (channel: Awaited<ReturnType<typeof openChannel>>) => Promise<T>): Promise<T> {
    const connection = await connect(rabbitmqUrl);
    try {
      return await work(await openChannel(connection));
    } finally {
      await connection.close();
    }
  }

  function openChannel(connection: Awaited<ReturnType<typeof connect>>) {
    return connection.createConfirmChannel();
  }

  async function pair(options: { logBytes?: number } = {}) {
    const prefix = newPrefix();
    const gate = await openGate(Number(new URL(rabbitmqUrl).port));
    gates.push(gate);
    const [speaker, hearer] = await Promise.all([
      busOn(rabbitmq({ url: rabbitmqUrl, prefix, ...options })),
      busOn(rabbitmq({ url: gate.url(rabbitmqUrl), prefix, ...options })),
    ]);
    return { prefix, gate, speaker, hearer, reader: await Reader.of(hearer, 'r') };
  }

  const removeLog = (prefix: string) => operate((channel) => channel.deleteQueue(`${prefix}live_rooms.log`));

  it('tells of a gap when the stream is deleted, and goes on in the new one', async () => {
    const { prefix, speaker, hearer, reader } = await pair();
    for (let i = 1; i <= 50; i++) await append(speaker, 'r', `old-${i}`);
    await until('they are heard', () => reader.ids.length === 50);
    const since = { pos: reader.positions[49]!, id: 'old-50' };
    await removeLog(prefix);
    await until('it is told', () => reader.gaps.length > 0, 20_000);
    await until('both are back', () => speaker.state === 'up' && hearer.state === 'up', 20_000);
    for (let i = 1; i <= 5; i++) await insist(speaker, 'r', `new-${i}`);
    await until('it goes on', () => reader.ids.at(-1) === 'new-5', 20_000);
    expect(reader.ids.slice(50)).toEqual([1, 2, 3, 4, 5].map((i) => `new-${i}`));
    expect(await reader.recovers(since)).toBe(false);
  });

  it('tells of a gap when a new stream has grown beyond where the reader was', async () => {
    const { prefix, gate, speaker, reader } = await pair();
    await append(speaker, 'r', 'old');
    await until('it is heard', () => reader.ids.length === 1);
    gate.refuse();
    await removeLog(prefix);
    for (let i = 1; i <= 100; i++) await insist(speaker, 'r', `new-${i}`);
    gate.pass();
    await until('it is told', () => reader.gaps.length > 0, 20_000);
    await insist(speaker, 'r', 'last');
    await until('it goes on', () => reader.ids.at(-1) === 'last', 20_000);
    const news = reader.ids.slice(1);
    expect(new Set(news).size).toBe(news.length);
  });

  it('tells of a gap when the stream was cut behind where the reader was', async () => {
    const { gate, speaker, hearer, reader } = await pair({ logBytes: 200_000 });
    await append(speaker, 'r', 'heard');
    await until('it is heard', () => reader.ids.length === 1);
    const since = { pos: reader.positions[0]!, id: 'heard' };
    gate.refuse();
    for (let i = 0; i < 600; i++) await speaker.logs.append('r', payloadOf(`m${i}`, 1_000), `m${i}`);
    gate.pass();
    await until('it is told', () => reader.gaps.length > 0, 20_000);
    // It hears before its link is up for everything else, as reading is.
    await until('it has heard the rest', () => reader.ids.at(-1) === 'm599' && hearer.state === 'up', 20_000);
    await insist(speaker, 'r', 'last');
    await until('it goes on', () => reader.ids.at(-1) === 'last', 20_000);
    expect(await reader.recovers(since)).toBe(false);
    expect(reader.gaps).toHaveLength(1);
  });

  it('tells of a gap when the stream is cut under a reader that is too slow for it, though its link is well', async () => {
    const prefix = newPrefix();
    const gate = await openGate(Number(new URL(rabbitmqUrl).port));
    gates.push(gate);
    const settings = { prefix, logBytes: 200_000 };
    const [speaker, hearer] = await Promise.all([
      busOn(rabbitmq({ url: rabbitmqUrl, ...settings })),
      busOn(rabbitmq({ url: gate.url(rabbitmqUrl), ...settings, prefetch: 10 }), { probeInterval: 60_000 }),
    ]);
    const reader = await Reader.of(hearer, 'r');
    await append(speaker, 'r', 'heard');
    await until('it is heard', () => reader.ids.length === 1);
    const since = { pos: reader.positions[0]!, id: 'heard' };
    const { outages } = hearer.counts;
    gate.slow(1_000);
    const ids = Array.from({ length: 1_000 }, (_, i) => `m${i}`);
    for (const id of ids) await speaker.logs.append('r', payloadOf(id, 1_000), id);
    gate.slow(0);
    await until('it has heard the last', () => reader.ids.at(-1) === 'm999', 20_000);
    expect(hearer.counts.outages).toBe(outages);
    expect(reader.ids.length).toBeLessThan(1_000);
    expect(reader.gaps.length).toBeGreaterThan(0);
    expect(new Set(reader.ids).size).toBe(reader.ids.length);
    expect(await reader.recovers(since)).toBe(false);
  });

  it('takes the start of a stream for the place of nobody, and says so when it is not the start any more', async () => {
    const { speaker, reader } = await pair({ logBytes: 200_000 });
    await append(speaker, 'r', 'first');
    await until('it is heard', () => reader.ids.length === 1);
    expect(await speaker.logs.read('r', { from: 's.0', limit: 5 })).toMatchObject({
      entries: [{ id: 'first' }],
      complete: true,
    });
    expect(await reader.recovers({ pos: 's.0' })).toBe(false);
    for (let i = 0; i < 600; i++) await speaker.logs.append('r', payloadOf(`m${i}`, 1_000), `m${i}`);
    await until('all is heard', () => reader.ids.length === 601);
    expect(await reader.recovers({ pos: 's.0' })).toBe(false);
    expect((await speaker.logs.read('r', { from: 's.0', limit: 5 })).complete).toBe(false);
  });

  it('acknowledges nothing that the stream does not get, as just after a start of the broker', async () => {
    const { prefix, speaker, reader } = await pair();
    const [stream, exchange] = [`${prefix}live_rooms.log`, `${prefix}live_rooms`];
    await append(speaker, 'r', 'first');
    await operate((channel) => channel.unbindQueue(stream, exchange, 'room.#'));
    const waiting = append(speaker, 'r', 'second');
    // The control: published as most do it, it is confirmed, and nobody ever hears it.
    await operate(async (channel) => {
      channel.publish(exchange, 'room.r', payloadOf('control'), { messageId: 'control', persistent: true });
      await channel.waitForConfirms();
    });
    await operate((channel) => channel.bindQueue(stream, exchange, 'room.#'));
    await waiting;
    await append(speaker, 'r', 'third');
    await reader.expects(['first', 'second', 'third']);
  });
});
