/*
 * By a socket: requests with hostile arguments, packets of Socket.IO and Engine.IO that are damaged, broken websocket
 * frames, handshakes with bad tokens, and bodies of long polling.
 */
import fc from 'fast-check';
import { request, Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { REQUESTS } from '../../dist/apps/gateway/src/requests.js';
import { bytes, damaged, payload, ROOMS, text, value, values } from './values.mjs';
import { show } from './tally.mjs';

const SOCKETS = 16;
/** Longest time until an answer, in ms. */
const PATIENCE = 10_000;
/** After so many inputs a socket is exchanged for a fresh one. */
const LIFE = 400;
/** With an id or without one; a blank is read as a digit. */
const GOODBYE = /^41[\d\s]*$/;

const name = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('room:join', 'room:join', 'room:leave', 'room:send', 'room:send') },
  { weight: 4, arbitrary: fc.constantFrom(...REQUESTS) },
  { weight: 1, arbitrary: text },
);
const asked = fc
  .tuple(name, fc.oneof({ weight: 8, arbitrary: payload.map((each) => [each]) }, fc.array(value, { maxLength: 4 })))
  .map(([event, args]) => ({ kind: 'request', event, args }));
const packet = fc
  .oneof(
    fc
      .tuple(
        fc.constantFrom(
          '42',
          '43',
          '45',
          '46',
          '421',
          '40',
          '41',
          '44',
          '47',
          '4',
          '2',
          '3',
          '5',
          '6',
          '1',
          '0',
          '9',
          '',
        ),
        fc.constantFrom('', '/admin,', '/__proto__,', '0', '99999999999999999999', '1-', '5-', '-1-', '1-/,7'),
        fc.oneof(
          value.map((each) => JSON.stringify(each)),
          fc.array(value, { maxLength: 3 }).map((each) => JSON.stringify(each)),
          text,
        ),
      )
      .map((parts) => Buffer.from(parts.join(''))),
    damaged(fc.tuple(name, payload).map(([event, body]) => Buffer.from(`42${JSON.stringify([event, body])}`))),
  )
  .chain((data) => fc.record({ kind: fc.constant('packet'), data: fc.constant(data), binary: fc.boolean() }));
/** A packet with attachments, and those that come, or do not. */
const attachments = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.array(bytes, { maxLength: 3 }), payload)
  .map(([count, parts, body]) => ({
    kind: 'attachments',
    head: `45${count}-${JSON.stringify(['room:send', { room: ROOMS[0], event: 'x', data: body, more: { _placeholder: true, num: 0 } }])}`,
    parts,
  }));
const frame = fc
  .oneof(
    bytes,
    damaged(fc.constantFrom(...['42["room:join",{}]', '2', '40'].map(masked))),
    // Reserved bits and opcodes, a length that never comes, a ping that is too long, a close with a reserved code, no UTF-8.
    fc.constantFrom(
      ...[
        'f18100000000',
        '838100000000',
        '81ff7fffffffffffffff00000000',
        '81ffffffffffffffffff00000000',
        '89fe00ff00000000',
      ].map((hex) => Buffer.from(hex, 'hex')),
      masked(Buffer.from([0x34, 0x32, 0xff, 0xfe])),
      masked(Buffer.from([0x34, 0x32, 0xc0, 0x80])),
      Buffer.from('888200000000' + '03ed', 'hex'),
      Buffer.from('8180000000000180', 'hex'),
      Buffer.from('8105' + '3432225d5d', 'hex'),
    ),
  )
  .map((data) => ({ kind: 'frame', data }));
const handshake = fc
  .record({
    query: fc.constantFrom(
      ...[
        'EIO=4&transport=websocket',
        'EIO=3&transport=websocket',
        'EIO=4&transport=x',
        'EIO=4',
        '',
        'transport=websocket',
      ],
      ...['EIO=4&transport=websocket&sid=x', 'EIO=4&EIO=3&transport=websocket', 'EIO=__proto__&transport=constructor'],
      ...[
        'EIO=4&transport=websocket&sid=__proto__',
        'EIO[]=4&transport[]=websocket',
        'EIO=4&transport=websocket&b64=1',
      ],
      ...Array(12).fill('EIO=4&transport=websocket'),
    ),
    auth: fc.oneof(
      fc.record(
        { token: fc.oneof(fc.constantFrom(...tokens()), text, value), user: fc.oneof(text, value) },
        { requiredKeys: [] },
      ),
      value,
    ),
    nsp: fc.constantFrom(
      '',
      '',
      '',
      '',
      '/,',
      '/admin,',
      '/__proto__,',
      '/?a=1,',
      '/\u0000,',
      `/${'x'.repeat(2_000)},`,
    ),
    header: fc.constantFrom('X-Forwarded-For', 'Origin', 'Cookie', 'X-Nothing', 'Sec-WebSocket-Protocol', '__proto__'),
    line: fc.constantFrom('x', '__proto__', '1.2.3.4, ::1', ',,,', 'x'.repeat(4_000), '%00', 'null', '[::1', "'"),
  })
  .map((each) => ({ kind: 'handshake', ...each }));
const polling = fc
  .record({
    session: fc.constantFrom('own', 'own', 'own', 'none', '__proto__', 'x', '../../x'),
    method: fc.constantFrom('POST', 'POST', 'POST', 'GET', 'PUT', 'OPTIONS', 'DELETE'),
    body: fc.oneof(
      bytes,
      packet.map(({ data }) => data),
      fc.array(packet, { maxLength: 5 }).map(joined),
      damaged(text.map(Buffer.from)),
    ),
    type: fc.constantFrom('text/plain;charset=UTF-8', 'application/octet-stream', 'application/json', ''),
  })
  .map((each) => ({ kind: 'polling', ...each }));

const input = fc.oneof(
  { weight: 55, arbitrary: asked },
  { weight: 18, arbitrary: packet },
  { weight: 3, arbitrary: attachments },
  { weight: 5, arbitrary: frame },
  { weight: 10, arbitrary: handshake },
  { weight: 9, arbitrary: polling },
);

export class SocketSurface {
  sent = 0;
  /** @type {Record<string, number>} */
  kinds = {};
  #parts;
  #inputs;
  /** @type {Stranger[]} */
  #strangers;

  constructor(parts) {
    this.#parts = parts;
    this.#inputs = values(input, parts.seed);
  }

  async start() {
    this.#strangers = Array.from({ length: SOCKETS }, (_, i) => new Stranger(this.#parts, `stranger-${i}`));
  }

  async send(count) {
    let left = count;
    const work = async (stranger) => {
      for (; left > 0; this.sent++) {
        left--;
        const { value: next } = this.#inputs.next();
        this.kinds[next.kind] = (this.kinds[next.kind] ?? 0) + 1;
        await stranger.send(next);
      }
    };
    await Promise.all(this.#strangers.map(work));
  }

  async stop() {
    await Promise.all(this.#strangers.map((stranger) => stranger.end()));
  }
}

/** One who sends, and reads what comes back. */
class Stranger {
  #parts;
  #user;
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #ws;
  #age = 0;
  #asked = 0;
  #sid;
  /** Whether anything that is no request was sent by this socket: it may be closed for that at any time. */
  #tainted = false;
  #answer = () => undefined;

  constructor(parts, user) {
    this.#parts = parts;
    this.#user = user;
  }

  async send(given) {
    await this[given.kind](given);
  }

  async end() {
    this.#ws?.terminate();
    await this.#leave();
    this.#agent.destroy();
  }

  async request({ kind, event, args }) {
    const ws = await this.#open();
    const id = ++this.#asked;
    const answer = this.#next(id);
    ws.send(`42${id}${JSON.stringify([event, ...args])}`);
    const got = await answer;
    if (got === 'closed') {
      this.#parts.tally.count('closed');
      if (!this.#tainted) this.#parts.tally.find('closes the connection instead of an answer', { event, args });
    } else if (got === 'late') this.#parts.tally.find(`no answer within ${PATIENCE} ms`, { kind, event, args });
    else this.#parts.tally.acknowledged(got, { event, args });
  }

  async packet({ data, binary }) {
    const ws = await this.#open();
    this.#tainted = true;
    ws.send(data, { binary });
    // A goodbye: what is asked in the same turn after it is not answered, and the connection is left as it is.
    if (GOODBYE.test(data)) ws.terminate();
  }

  async attachments({ head, parts }) {
    const ws = await this.#open();
    this.#tainted = true;
    ws.send(head);
    for (const part of parts) ws.send(part, { binary: true });
  }

  /** The connection is of no use after it. */
  async frame({ data }) {
    const ws = await this.#open();
    ws._socket?.write(data);
    await sleep(1);
    ws.terminate();
  }

  async handshake({ query, auth, nsp, header, line }) {
    const { url, tally } = this.#parts;
    let ws;
    try {
      ws = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?${query}`, { headers: { [header]: line } });
    } catch {
      return; // No such header can be sent.
    }
    const said = (text) => {
      if (text.startsWith('0')) return ws.send(`40${nsp}${JSON.stringify(auth)}`);
      if (text.startsWith('40')) tally.count('let in');
      // Socket.IO's own, which is documented beside the codes.
      else if (/^44\/.*"Invalid namespace"/s.test(text)) tally.count('Invalid namespace');
      else if (text.startsWith('44'))
        tally.refusal(JSON.parse(text.slice(text.indexOf('{'))).data, { query, auth, nsp });
      ws.terminate();
    };
    await new Promise((resolve) => {
      const late = setTimeout(() => {
        tally.find(`a handshake was not answered within ${PATIENCE} ms`, { query, auth, nsp, header, line });
        ws.terminate();
      }, PATIENCE);
      ws.on('message', (data) => said(data.toString()));
      ws.on('unexpected-response', (_request, response) => {
        void read(response).then((body) => this.#engine(response.statusCode, body, query));
        ws.terminate();
      });
      ws.on('error', () => undefined);
      ws.on('close', () => resolve(clearTimeout(late)));
    });
  }

  async polling({ session, method, body, type }) {
    const base = '/socket.io/?EIO=4&transport=polling';
    if (session === 'own' && this.#sid === undefined) {
      const { status, text: opened } = await this.#call('GET', base);
      if (status !== 200) return;
      this.#sid = JSON.parse(opened.slice(1)).sid;
      await this.#call('POST', `${base}&sid=${this.#sid}`, Buffer.from(`40{"user":"guest-${this.#user}"}`));
    }
    const sid = session === 'own' ? this.#sid : session;
    // To be told something at once, and not to wait until there is something to tell.
    if (method === 'GET' && session === 'own') await this.#call('POST', `${base}&sid=${sid}`, Buffer.from('4299["x"]'));
    const { status, text: answer } = await this.#call(
      method,
      session === 'none' ? base : `${base}&sid=${encodeURIComponent(sid)}`,
      method === 'GET' ? undefined : body,
      type,
    );
    this.#engine(status, answer, { session, method, body: body.toString('latin1') });
    if (session === 'own' && status !== 200) await this.#leave();
  }

  /** Says goodbye by long polling: otherwise the session lasts until its next heartbeat. */
  async #leave() {
    if (this.#sid !== undefined) {
      await this.#call('POST', `/socket.io/?EIO=4&transport=polling&sid=${this.#sid}`, Buffer.from('1'));
    }
    this.#sid = undefined;
  }

  #call(method, path, body, type) {
    return new Promise((resolve) => {
      const asked = request(this.#parts.url + path, {
        method,
        agent: this.#agent,
        headers: { ...(type && { 'content-type': type }), ...(body && { 'content-length': body.length }) },
        timeout: PATIENCE,
      });
      asked.on('response', (response) => {
        void read(response).then((text) => resolve({ status: response.statusCode, text }));
      });
      asked.on('timeout', () => {
        this.#parts.tally.find(`no answer within ${PATIENCE} ms`, { method, path, body: body?.toString('latin1') });
        asked.destroy();
      });
      asked.on('error', () => resolve({ status: 0, text: '' }));
      asked.end(body);
    });
  }

  /** Engine.IO's own answers: a status, and sometimes a number and a sentence. */
  #engine(status, body, given) {
    const { tally } = this.#parts;
    tally.count(`Engine.IO ${status}`);
    if (![0, 200, 204, 400, 403, 413].includes(status)) tally.find(`Engine.IO answers ${status}: ${show(body)}`, given);
    if (status >= 400 && /\n\s+at |node_modules/.test(body)) tally.find(`tells of its inside: ${show(body)}`, given);
  }

  /** Resolves with the acknowledgement of this number. */
  #next(id) {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve('late'), PATIENCE);
      this.#answer = (got, answer) => {
        if (got !== undefined && got !== id) return;
        clearTimeout(late);
        resolve(got === undefined ? 'closed' : answer);
      };
    });
  }

  /** A socket that was let in: that of before, while it lasts. */
  async #open() {
    if (this.#ws?.readyState === WebSocket.OPEN && this.#age++ < LIFE) return this.#ws;
    this.#ws?.terminate();
    this.#age = 0;
    const { url, tally, tokenOf } = this.#parts;
    const token = await tokenOf(this.#user);
    for (;;) {
      const ws = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      const answer = await new Promise((resolve) => {
        ws.on('message', (data) => {
          const said = data.toString();
          if (said.startsWith('0')) ws.send(`40${JSON.stringify({ token })}`);
          else if (said === '2') ws.send('3');
          else if (said.startsWith('40') || said.startsWith('44')) resolve(said);
          else if (said.startsWith('43')) this.#acknowledged(said);
          if (/\n\s+at |node_modules/.test(said)) tally.find(`tells of its inside: ${show(said)}`, this.#user);
        });
        ws.on('error', () => undefined);
        ws.on('close', () => {
          if (ws === this.#ws) this.#answer();
          resolve('closed');
        });
      });
      if (answer.startsWith('40')) {
        this.#ws = ws;
        this.#tainted = false;
        for (const each of ROOMS.slice(0, 4)) ws.send(`42${JSON.stringify(['room:join', { room: each }])}`);
        return ws;
      }
      // One of the others may have decided against this user, for a moment.
      if (answer.startsWith('44')) tally.refusal(JSON.parse(answer.slice(2)).data, { token: this.#user });
      ws.terminate();
      await sleep(20);
    }
  }

  #acknowledged(said) {
    // A large number comes back as JSON writes it.
    const [, id, json] = /^43(\d[^[]*)(.*)$/s.exec(said) ?? [];
    if (json === undefined) return this.#parts.tally.find(`acknowledges with ${show(said)}`, 'a request');
    this.#answer(Number(id), JSON.parse(json)[0]);
  }
}

/** Tokens that are none: made by hand, because no library makes them. */
function tokens() {
  const part = (each) => Buffer.from(typeof each === 'string' ? each : JSON.stringify(each)).toString('base64url');
  const token = (header, claims, signature = 'x') => `${part(header)}.${part(claims)}.${signature}`;
  const claims = { sub: 'eve', exp: 4e9 };
  return [
    token({ alg: 'none' }, claims, ''),
    token({ alg: 'None' }, claims, ''),
    token({ alg: 'HS256', typ: 'JWT' }, claims),
    token({ alg: 'RS256', kid: '../../dev/null' }, claims),
    token({ alg: 'HS256', crit: ['exp'], exp: 1 }, claims),
    token({ alg: 'HS256', jku: 'http://127.0.0.1:9/', x5u: 'http://127.0.0.1:9/' }, claims),
    token('{"alg":"HS256","__proto__":{"alg":"none"}}', '{"__proto__":{"sub":"eve"}}'),
    ...['..', 'a.b.c', '.', 'é.é.é', 'a.b', `${'a'.repeat(9_000)}.b.c`],
  ];
}

function masked(content) {
  const data = Buffer.from(content);
  return Buffer.concat([Buffer.from([0x81, 0x80 | data.length, 0, 0, 0, 0]), data]);
}

/** Packets as long polling has them. */
function joined(packets) {
  return Buffer.from(packets.map(({ data }) => data.toString()).join('\x1e'));
}

async function read(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts).toString();
}
