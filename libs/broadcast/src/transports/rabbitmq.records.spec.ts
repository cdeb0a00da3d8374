import type { Channel as AmqpChannel, ChannelModel, ConsumeMessage } from 'amqplib';
import { RabbitmqRecords } from './rabbitmq.records.js';

type Hear = (message: ConsumeMessage) => void;

const LATER = Date.now() + 3_600_000;
/** More than there may be beyond those that count, before they are written anew. */
const MANY = 10_100;

/** A stream that keeps everything and hands all of it to whoever reads from its beginning. */
class Stream {
  readonly messages: ConsumeMessage[] = [];
  readonly #listening = new Set<Hear>();
  readonly records = new RabbitmqRecords(
    {
      connection: { createChannel: () => Promise.resolve(channel()) } as unknown as ChannelModel,
      publish: async (content, headers, messageId) => {
        const message = { content, fields: {}, properties: { headers, messageId } } as unknown as ConsumeMessage;
        this.messages.push(message);
        for (const hear of this.#listening) hear(message);
      },
      channel: () => Promise.resolve(channel((hear) => this.#attach(hear))),
      failed: (cause) => {
        throw cause;
      },
    },
    'live_rooms.records',
  );

  #attach(hear: Hear): void {
    for (const message of [...this.messages]) hear(message);
    this.#listening.add(hear);
  }

  put(key: string, version: number, until = LATER): Promise<void> {
    return this.records.put({ key, version: String(version).padStart(8, '0'), payload: Buffer.from(key), until });
  }

  /** What was written since so many messages, marks left out. */
  since(count: number): string[] {
    return this.messages.slice(count).flatMap(({ properties }) => {
      const { key, version } = (properties.headers ?? {}) as { key?: string; version?: string };
      return key === undefined ? [] : [`${key} ${Number(version)}`];
    });
  }
}

function channel(attach: (hear: Hear) => void = () => undefined): AmqpChannel {
  const done = () => Promise.resolve();
  const consume = (_queue: string, hear: Hear) => {
    attach(hear);
    return Promise.resolve({ consumerTag: 't' });
  };
  const parts = { on: () => undefined, ack: () => undefined, assertQueue: done, prefetch: done, close: done, consume };
  return parts as unknown as AmqpChannel;
}

describe('records in a stream', () => {
  it('are written anew at its end, the newest of each that still counts, when many count no more', async () => {
    const stream = new Stream();
    for (let i = 1; i < MANY; i++) await stream.put(i % 2 ? 'a' : 'b', i);
    await stream.put('over', 1, Date.now() - 1);
    const before = stream.messages.length;
    const kept = await stream.records.all();
    expect(kept.map(({ key }) => key).sort()).toEqual(['a', 'b']);
    expect(stream.since(before).sort()).toEqual([`a ${MANY - 1}`, `b ${MANY - 2}`]);
    // What is behind them may go now: they are read from what was written last.
    stream.messages.splice(0, before);
    expect((await stream.records.all()).map(({ key, version }) => [key, Number(version)]).sort()).toEqual([
      ['a', MANY - 1],
      ['b', MANY - 2],
    ]);
  });

  it('are looked at by whoever writes much, too, without being asked', async () => {
    const stream = new Stream();
    for (let i = 1; i <= 2 * MANY; i++) await stream.put('a', i);
    await new Promise(setImmediate);
    expect(stream.since(0).length).toBeGreaterThan(2 * MANY);
  });

  it('stay as they are while few count no more', async () => {
    const stream = new Stream();
    for (let i = 1; i <= 500; i++) await stream.put('a', i);
    const before = stream.messages.length;
    expect(await stream.records.all()).toHaveLength(1);
    expect(stream.since(before)).toEqual([]);
  });
});
