/*
 * By the broker: everything that instances say to each other, caught and damaged, and bytes that never were a message; on
 * the channels of rooms, on those of control, and in what is stored.
 */
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { RabbitmqSide, RedisSide } from './sides.mjs';
import { bytes, damaged, payload, room, ROOMS, text, value, values } from './values.mjs';

/** Inputs that are sent before it is looked at whether the gateway has taken them. */
const STEP = 250;
const CAUGHT = 300;
/** Longest time until an answer, in ms. */
const PATIENCE = 20_000;
const SIDES = { redis: RedisSide, rabbitmq: RabbitmqSide };

export class BusSurface {
  sent = 0;
  /** @type {Record<string, number>} */
  kinds = {};
  #parts;
  #side;
  #inputs;
  #client;
  /** @type {Buffer[]} */
  #caught = [];
  #reading;

  constructor(parts) {
    this.#parts = parts;
    this.#side = new SIDES[parts.transport](parts);
  }

  async start() {
    const { url, tokenOf, seed } = this.#parts;
    await this.#side.open((message) => {
      if (this.#caught.length < CAUGHT) this.#caught.push(message);
    });
    this.#client = io(url, { auth: (answer) => void tokenOf('reader').then((token) => answer({ token })) });
    this.#client.on('disconnect', (reason) => reason === 'io server disconnect' && this.#client.connect());
    await new Promise((resolve) => this.#client.once('connect', resolve));
    await this.#provoke();
    this.#inputs = values(this.#input(), seed);
  }

  async send(count) {
    for (let left = count; left > 0; left -= STEP) {
      for (let i = 0; i < Math.min(STEP, left); i++, this.sent++) {
        const { value: next } = this.#inputs.next();
        const kind = `${next.way} ${next.made}`;
        this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
        await this.#side.send(next);
      }
      await this.#side.flush();
      // It has taken them all, when it has taken this.
      await this.#ask('room:send', { room: ROOMS[0], event: 'chat', data: 1 });
      this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    }
  }

  async stop() {
    await this.#reading;
    this.#client.disconnect();
    await this.#side.close();
  }

  /** Whatever makes instances talk to each other, said once, to be caught. */
  async #provoke() {
    const { url, apiKey } = this.#parts;
    for (const each of ROOMS) await this.#ask('room:join', { room: each });
    const requests = [
      ['room:send', { event: 'chat', data: { text: 'hello' } }],
      ['room:send', { event: 'bytes', data: Buffer.from('some bytes') }],
      ['room:presence', {}],
      ['room:mute', { user: 'nobody', duration: '1s' }],
      ['room:ban', { user: 'nobody', duration: '1s' }],
      ['room:kick', { user: 'nobody' }],
      ['room:slow', { interval: 1, duration: '1s' }],
    ];
    for (const each of ROOMS) for (const [event, body] of requests) await this.#ask(event, { room: each, ...body });
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
    for (const path of ['/v1/rooms', '/v1/instances', '/v1/rooms/live:a/members']) await fetch(url + path, { headers });
    await fetch(`${url}/v1/rooms/live:a/members/nobody`, { method: 'DELETE', headers });
    const body = JSON.stringify({ rooms: ROOMS, event: 'chat', data: 1 });
    await fetch(`${url}/v1/broadcasts`, { method: 'POST', headers, body });
    await sleep(2_500); // Instances greet each other, and listen to themselves, every two seconds.
    if (this.#caught.length < 10) throw new Error(`only ${this.#caught.length} messages were caught`);
  }

  /**
   * A client that asks is answered, whatever is in the histories by now. It takes its time: instances that were made up
   * are waited for.
   */
  async #read() {
    const [each] = fc.sample(room, 1);
    for (const [event, body] of [
      ['room:join', { room: each, since: { pos: 'a.1', id: 'x' } }],
      ['room:history', { room: each, limit: 100 }],
      ['room:send', { room: each, event: 'chat', data: 1 }],
      ['room:presence', { room: each }],
    ]) {
      await this.#ask(event, body);
    }
  }

  async #ask(event, body) {
    const { tally } = this.#parts;
    const answer = await this.#client
      .timeout(PATIENCE)
      .emitWithAck(event, body)
      .catch((error) => error);
    if (!(answer instanceof Error)) tally.acknowledged(answer, { event, body });
    // Put out by what was sent meanwhile, which whoever reaches the broker may do.
    else if (this.#client.connected) tally.find(`${answer.message}, after ${PATIENCE} ms`, { event, body });
    else tally.count('closed');
  }

  #input() {
    const caught = fc.constantFrom(...this.#caught);
    const otherwise = caught.chain((message) => changed(message));
    const content = fc.oneof(
      { weight: 4, arbitrary: damaged(caught).map((data) => ({ made: 'damaged', data })) },
      { weight: 6, arbitrary: otherwise.map((data) => ({ made: 'changed', data })) },
      { weight: 3, arbitrary: foreign.map((data) => ({ made: 'foreign', data })) },
      { weight: 1, arbitrary: binary.map((data) => ({ made: 'binary', data })) },
      { weight: 1, arbitrary: bytes.map((data) => ({ made: 'bytes', data })) },
      { weight: 1, arbitrary: caught.map((data) => ({ made: 'as it was', data })) },
    );
    const way = fc.oneof(
      { weight: 5, arbitrary: fc.constant('room') },
      { weight: 3, arbitrary: fc.constant('all') },
      { weight: 3, arbitrary: fc.constant('instance') },
      { weight: 1, arbitrary: fc.constant('probe') },
      { weight: 2, arbitrary: fc.constant('log') },
      { weight: 1, arbitrary: fc.constant('records') },
      { weight: 1, arbitrary: fc.constant('elsewhere') },
    );
    const headers = fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null)), { maxKeys: 3 });
    return fc
      .record({ way, content, room, name: text, headers, properties: value, choice: fc.nat(), number: fc.integer() })
      .map(({ content: { made, data }, ...rest }) => ({ ...rest, made, data }));
  }
}

const FIELDS = [
  'v',
  'id',
  'room',
  'rooms',
  'kind',
  'nsp',
  'from',
  'at',
  'origin',
  'except',
  'flags',
  'raw',
  'key',
  'seek',
];
const KINDS = ['emit', 'presence', 'moderation', 'ask', 'answer', 'join', 'leave', '__proto__', 'constructor'];

/** A message that can be read, with something in it that nobody would write. */
function changed(message) {
  let parsed;
  try {
    parsed = JSON.parse(message.toString());
  } catch {
    return damaged(fc.constant(message));
  }
  const field = fc.constantFrom(...FIELDS, 'args', 'traceparent', '__proto__', 'pos');
  const other = fc.oneof(value, text, fc.constantFrom(...KINDS), fc.array(fc.oneof(text, room), { maxLength: 3 }));
  const args = fc.oneof(
    fc.tuple(fc.constantFrom('chat', '__proto__', 'disconnect', 'newListener'), value),
    fc.array(value, { maxLength: 5 }),
    fc
      .tuple(fc.nat(10), value)
      .map(([at, given]) =>
        Array.isArray(parsed.args)
          ? (parsed.args.with?.(at % Math.max(1, parsed.args.length), given) ??
            parsed.args.map((each, i) => (i === at % parsed.args.length ? given : each)))
          : given,
      ),
    // One level deeper: what instances tell each other is mostly one object.
    fc.tuple(text, value, fc.nat(10)).map(([name, given, at]) => deeper(parsed.args, name, given, at)),
  );
  return fc.tuple(fc.boolean(), field, other, args).map(([inArgs, name, given, given2]) => {
    // The id of before makes it a message that was heard already.
    const id = `${parsed.id}.${Math.abs(hash(JSON.stringify([name, given, given2])))}`;
    const { args: own, ...header } = { ...parsed, ...(parsed.id !== undefined && { id }) };
    const made = inArgs ? { ...header, args: given2 } : { ...header, args: own, ...one(name, given) };
    return Buffer.from(JSON.stringify(made));
  });
}

function deeper(args, name, given, at) {
  if (!Array.isArray(args) || args.length === 0) return [given];
  return args.map((each, i) => {
    if (i !== at % args.length || typeof each !== 'object' || each === null) return each;
    if (Array.isArray(each)) return [...each, given];
    const names = Object.keys(each);
    return { ...each, ...one(names[at % Math.max(1, names.length)] ?? name, given) };
  });
}

/** An own field, whatever its name. */
function one(name, given) {
  return Object.fromEntries([[name, given]]);
}

function hash(text) {
  let result = 0;
  for (const character of text) result = (result * 31 + character.codePointAt(0)) | 0;
  return result;
}

/** What services in other languages might say. */
const foreign = fc
  .oneof(
    fc.record({ event: fc.oneof(text, value), data: value, id: fc.oneof(text, value) }, { requiredKeys: ['event'] }),
    fc.record({
      v: fc.constantFrom(0, 1, 2, '1', 1e9),
      args: fc.oneof(fc.array(value, { maxLength: 3 }), value),
      room,
    }),
    payload,
  )
  .map((each) => Buffer.from(JSON.stringify(each)));

/** The layout of bytes and the one of signatures: lengths that are not so, frames that are none. */
const binary = fc
  .tuple(
    fc.constantFrom(0, 1, 2, 3, 0x7b),
    fc.oneof(fc.nat(300), fc.constantFrom(0xffffffff, 0x7fffffff)),
    payload,
    bytes,
  )
  .map(([first, length, header, rest]) => {
    const head = Buffer.from(JSON.stringify({ v: 1, room: 'live:a', ...(typeof header === 'object' && header) }));
    const prefix = Buffer.alloc(5);
    prefix[0] = first;
    prefix.writeUInt32BE(length < 150 ? head.length : length, 1);
    return Buffer.concat([prefix, head, rest]);
  });
