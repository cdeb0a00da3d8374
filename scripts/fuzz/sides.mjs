/*
 * The brokers, as a stranger with an account there sees them: where the messages of rooms, of control and of histories go.
 */
import amqp from 'amqplib';
import { Redis } from 'ioredis';
import { ROOMS } from './values.mjs';

const INSTANCE = 'gw-1';

export class RedisSide {
  #redis;
  #ear;
  #prefix;
  #sending = [];

  constructor({ brokerUrl, prefix }) {
    this.#prefix = prefix;
    this.#redis = new Redis(brokerUrl);
    this.#ear = new Redis(brokerUrl);
  }

  async open(caught) {
    this.#ear.on('messageBuffer', (_channel, message) => caught(message));
    const rooms = [...ROOMS, 'pair:talk'].map((room) => `live_room:${room}`);
    const control = ['roomcast:all', `roomcast:instance:${INSTANCE}`, `roomcast:probe:${INSTANCE}`];
    await this.#ear.subscribe(...[...rooms, ...control].map((channel) => this.#prefix + channel));
  }

  async send({ way, room, name, data, choice, number, headers }) {
    const at = (rest) => this.#prefix + rest;
    const send = (...command) => this.#sending.push(this.#redis.call(...command).catch(() => undefined));
    const publish = (channel) => send('PUBLISH', at(channel), data);
    const log = `{${this.#prefix}live_room:${room}}`;
    const fields = ['d', data, 'i', name, ...Object.entries(headers).flat().map(String)];
    switch (way) {
      case 'room':
        return publish(`live_room:${room}`);
      case 'all':
        return publish('roomcast:all');
      case 'instance':
        return publish(`roomcast:instance:${INSTANCE}`);
      case 'probe':
        return publish(`roomcast:probe:${INSTANCE}`);
      case 'elsewhere':
        return publish(name);
      case 'records':
        if (choice % 4 === 0) send('ZADD', at('roomcast:{records}:ends'), String(Date.now() + 60_000), name);
        if (choice % 4 === 1) send('HSET', at('roomcast:{records}:versions'), name, data);
        return send('HSET', at('roomcast:{records}:payloads'), name, data);
      default:
        switch (choice % 8) {
          case 0:
            return send('HSET', `${log}:meta`, ['e', 's', 'i'][choice % 3], choice % 2 ? data : String(number));
          case 1:
            return send('DEL', `${log}:${choice % 2 ? 'meta' : 'log'}`);
          case 2:
            return send('SET', `${log}:${choice % 16 === 2 ? 'log' : 'id:x'}`, data, 'PX', '50');
          case 3:
            return send('XADD', `${log}:log`, 'MAXLEN', '50', '*', name || 'x', data);
          default:
            return send('XADD', `${log}:log`, 'MAXLEN', '50', '*', ...fields.slice(0, 2 + 2 * (choice % 3)));
        }
    }
  }

  async flush() {
    await Promise.all(this.#sending.splice(0));
  }

  async close() {
    this.#redis.disconnect();
    this.#ear.disconnect();
  }
}

export class RabbitmqSide {
  #url;
  #prefix;
  #connection;
  #channel;

  constructor({ brokerUrl, prefix }) {
    this.#url = brokerUrl;
    this.#prefix = prefix;
  }

  async open(caught) {
    this.#connection = await amqp.connect(this.#url);
    this.#channel = await this.#connection.createConfirmChannel();
    const { queue } = await this.#channel.assertQueue('', { exclusive: true });
    await this.#channel.bindQueue(queue, `${this.#prefix}live_rooms`, '#');
    for (const key of ['all', `instance.${INSTANCE}`])
      await this.#channel.bindQueue(queue, `${this.#prefix}roomcast`, key);
    await this.#channel.consume(queue, (message) => message && caught(message.content), { noAck: true });
  }

  async send({ way, room, name, data, headers, choice, number }) {
    const [exchange, key] = {
      room: ['live_rooms', `room.${room}`],
      all: ['roomcast', 'all'],
      instance: ['roomcast', `instance.${INSTANCE}`],
      probe: ['live_rooms', `probe.${INSTANCE}`],
      log: ['live_rooms', ['log.mark', `room.${name}`, `room.${room}`][choice % 3]],
      records: ['', `${this.#prefix}live_rooms.records`],
      elsewhere: ['live_rooms', name],
    }[way];
    const properties = {
      headers:
        way === 'records' && choice % 2 ? { key: name, version: String(number), until: Date.now() + number } : headers,
      ...(choice % 3 === 0 && { messageId: name.slice(0, 50) }),
      ...(choice % 5 === 0 && { contentType: name.slice(0, 50), contentEncoding: 'gzip', type: 'x', appId: 'y' }),
      ...(choice % 7 === 0 && {
        timestamp: Math.abs(number),
        priority: choice % 256,
        correlationId: 'c',
        replyTo: 'r',
      }),
      ...(choice % 11 === 0 && { expiration: String(choice % 1_000) }),
      deliveryMode: 1 + (choice % 2),
    };
    const target = exchange && this.#prefix + exchange;
    try {
      this.#channel.publish(target, Buffer.from(key).subarray(0, 250).toString(), data, properties);
    } catch {
      // No such name or header can be written.
      this.#channel.publish(target, 'room.live:a', data);
    }
  }

  async flush() {
    await this.#channel.waitForConfirms();
  }

  async close() {
    await this.#connection.close();
  }
}
