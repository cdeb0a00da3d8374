/*
 * The test vectors of the wire protocol, docs/vectors: what other implementations rely on.
 */
import { readFileSync } from 'node:fs';
import { frameBody } from './binary.js';
import { decode, encode, NEWER, type Header } from './envelope.js';
import { idOf } from './position.js';
import { Signature } from './signature.js';
import { buildFrame } from './socketio/frame.js';
import type { Channel } from './transport.js';
import { routingKey } from './transports/rabbitmq.names.js';
import { splitPosition } from './transports/redis.log.js';
import { redisChannel } from './transports/redis.js';

interface Bytes {
  text?: string;
  hex?: string;
}
interface Envelope extends Bytes {
  name: string;
  header: Omit<Header, 'v'>;
  args: unknown[];
}
interface Delivery extends Bytes {
  name: string;
  room: string;
  now?: number;
  clients: (string | { hex: string })[];
}
interface Dropped extends Bytes {
  name?: string;
  outcome: 'unreadable' | 'ignored';
}
interface Signed extends Bytes {
  name: string;
  secret: string;
  channel: Channel;
  at: number;
  signed: string;
}
interface Positioned extends Bytes {
  name: string;
  pos: string;
  id: string;
  arrives: Bytes;
}
interface Room {
  room: string;
  redis: string;
  rabbitmq: string;
}

function vectors<T>(name: string): T[] {
  return (JSON.parse(readFileSync(`docs/vectors/${name}.json`, 'utf8')) as { vectors: T[] }).vectors;
}

function bytesOf({ text, hex }: Bytes): Buffer {
  return text === undefined ? Buffer.from(hex!, 'hex') : Buffer.from(text);
}

/** `{"$bytes":"616263"}` stands for bytes. */
function withBytes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withBytes);
  if (typeof value !== 'object' || value === null) return value;
  if ('$bytes' in value) return Buffer.from(String(value.$bytes), 'hex');
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withBytes(item)]));
}

afterEach(() => void jest.restoreAllMocks());

describe('the test vectors', () => {
  it.each(vectors<Envelope>('envelopes'))('are what is written: $name', ({ header, args, ...bytes }) => {
    const written = encode(header, withBytes(args) as unknown[]);
    expect(bytes.text === undefined ? written.toString('hex') : written.toString()).toBe(bytes.text ?? bytes.hex);
  });

  it.each(vectors<Envelope>('envelopes'))('are read as what was written: $name', ({ header, ...bytes }) => {
    expect(decode(bytesOf(bytes))).toMatchObject({ header: { v: 1, ...header } });
  });

  it.each(vectors<Delivery>('deliveries'))('are what clients receive: $name', ({ room, now, clients, ...bytes }) => {
    if (now !== undefined) jest.spyOn(Date, 'now').mockReturnValue(now);
    const message = decode(bytesOf(bytes));
    if (message === NEWER) throw new Error('expected a message of this version');
    const received = buildFrame(message, room).pieces.map(({ wsPreEncodedFrame }, index) => {
      const content = frameBody(wsPreEncodedFrame![0]);
      return index === 0 ? content.toString() : { hex: content.toString('hex') };
    });
    expect(received).toEqual(clients);
  });

  it.each(vectors<Dropped>('dropped'))('reach nobody: $name$text', ({ outcome, ...bytes }) => {
    const read = () => decode(bytesOf(bytes));
    if (outcome === 'ignored') expect(read()).toBe(NEWER);
    else expect(read).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
  });

  it.each(vectors<Signed>('signed'))('are what is signed: $name', ({ secret, channel, at, signed, ...bytes }) => {
    jest.spyOn(Date, 'now').mockReturnValue(at);
    const signature = new Signature({ secret, requireSigned: true });
    expect(signature.seal(channel, bytesOf(bytes)).toString('hex')).toBe(signed);
    expect(signature.open(channel, Buffer.from(signed, 'hex'))).toEqual(bytesOf(bytes));
  });

  it.each(vectors<Positioned>('positions'))('are places in logs: $name', ({ pos, id, arrives, ...bytes }) => {
    const split = splitPosition(bytesOf(arrives));
    expect(split.pos).toBe(pos);
    expect(split.payload).toEqual(bytesOf(bytes));
    expect(idOf(split.payload, pos)).toBe(id);
    // Whoever does not look for positions reads the same message, if it is text.
    if (arrives.text) expect(decode(bytesOf(arrives))).toMatchObject({ header: { v: 1 } });
  });

  it.each(vectors<Room>('rooms'))('are the names of rooms: $room', ({ room, redis, rabbitmq }) => {
    expect(redisChannel(`room:${room}`, '')).toBe(redis);
    expect(redisChannel(`room:${room}`, 'eu.')).toBe(`eu.${redis}`);
    expect(routingKey(`room:${room}`)).toBe(rabbitmq);
  });
});

describe('the names of control channels', () => {
  it.each([
    ['all', 'roomcast:all', 'all'],
    ['instance:gw-1', 'roomcast:instance:gw-1', 'instance.gw-1'],
    ['probe:gw-1', 'roomcast:probe:gw-1', 'probe.gw-1'],
  ] as const)('%s is %s on Redis, and %s on RabbitMQ', (channel, redis, rabbitmq) => {
    expect(redisChannel(channel, '')).toBe(redis);
    expect(redisChannel(channel, 'eu.')).toBe(`eu.${redis}`);
    expect(routingKey(channel)).toBe(rabbitmq);
  });
});
