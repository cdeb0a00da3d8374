/*
 * By HTTP: requests made of the OpenAPI document that the gateway shows, right, nearly right or hostile, with and without
 * a key; and bytes that are hardly HTTP.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { bytes, damaged, room, ROOMS, text, user, value, values } from './values.mjs';
import { show } from './tally.mjs';

const CALLERS = 16;
/** Longest time until an answer, in ms. */
const PATIENCE = 10_000;
const METHODS = ['get', 'post', 'put', 'delete'];
/** What Node itself answers to what is hardly HTTP. */
const OF_NODE = [400, 408, 413, 417, 431];

export class HttpSurface {
  sent = 0;
  /** @type {Record<string, number>} */
  kinds = {};
  #parts;
  #inputs;
  #document;
  #agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  #ajv = new Ajv2020({ strict: false });
  #validators = new Map();

  constructor(parts) {
    this.#parts = parts;
  }

  async start() {
    const answer = await fetch(`${this.#parts.url}/docs/openapi.json`);
    this.#document = await answer.json();
    this.#ajv.addSchema(this.#document, 'openapi');
    const operations = Object.entries(this.#document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => called(path, method, operation, this.#parts.apiKey)),
    );
    const input = fc.oneof(
      { weight: 8, arbitrary: fc.oneof(...operations) },
      { weight: 1, arbitrary: raw(this.#parts.apiKey) },
    );
    this.#inputs = values(input, this.#parts.seed);
  }

  async send(count) {
    let left = count;
    const work = async () => {
      for (; left > 0; this.sent++) {
        left--;
        const { value: next } = this.#inputs.next();
        const kind = next.raw ? 'bytes' : next.operation.operationId;
        this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
        await (next.raw ? this.#write(next.raw) : this.#call(next));
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, work));
  }

  async stop() {
    this.#agent.destroy();
  }

  async #call({ path, address, method, headers, body }) {
    const { tally } = this.#parts;
    const input = { method, address, headers, body: body?.toString('latin1') };
    const { status, text: answer } = await this.#ask(method, address, headers, body, input);
    if (status === undefined) return;
    tally.count(`status ${status}`);
    const parsed = json(answer);
    if (OF_NODE.includes(status) && answer === '') return tally.count('Node');
    if (parsed?.error) tally.refusal(parsed.error, input);
    else if (status >= 400 || parsed === undefined) return tally.find(`answers ${status}: ${show(answer)}`, input);
    // What is at another address than that of the operation, after all, is answered as documented there.
    if (isElsewhere(address, path)) return;
    const asked = this.#document.paths[path][method];
    // No operation: what is refused before anybody looks for one may be refused in any documented way.
    if (!asked && parsed.error) return;
    const documented = asked?.responses[status];
    if (!documented) tally.find(`${method} ${path} is not documented to answer ${status}: ${show(answer)}`, input);
    else if (!this.#validator(path, method, status, documented)(parsed)) {
      tally.find(`${method} ${path} answers otherwise than documented: ${show(answer)}`, input);
    }
  }

  #ask(method, path, headers, body, input) {
    return new Promise((resolve) => {
      const { hostname, port } = new URL(this.#parts.url);
      let asked;
      try {
        asked = request({ hostname, port, path, method, headers, agent: this.#agent, timeout: PATIENCE });
      } catch {
        return resolve({}); // Node does not send such a thing: that is what the raw ones are for.
      }
      asked.on('response', (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString() }));
        response.on('error', () => resolve({}));
      });
      asked.on('timeout', () => {
        this.#parts.tally.find(`no answer within ${PATIENCE} ms`, input);
        asked.destroy();
      });
      // Refused before all of it was sent.
      asked.on('error', () => resolve({}));
      asked.end(body);
    });
  }

  /** Every answer in what comes back has to be one that is known. */
  async #write(data) {
    const { tally, url } = this.#parts;
    const answer = await new Promise((resolve) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(data));
      let got = '';
      socket.setEncoding('latin1').on('data', (part) => (got += part));
      // What is unfinished is not answered: Node gives it a minute.
      socket.setTimeout(20, () => socket.destroy());
      socket.on('error', () => undefined).on('close', () => resolve(got));
    });
    const input = data.toString('latin1');
    for (const [, status] of answer.matchAll(/^HTTP\/1\.1 (\d+) /gm)) {
      tally.count(`status ${status}`);
      if (Number(status) >= 500) tally.find(`answers ${status}: ${show(answer)}`, input);
    }
    for (const [found] of answer.matchAll(/\{"error":\{.*?\}\}/g)) tally.refusal(json(found)?.error, input);
    if (/^set-cookie:|^x-injected:/im.test(answer)) tally.find(`a header was injected: ${show(answer)}`, input);
    if (/\n\s+at |node_modules/.test(answer)) tally.find(`tells of its inside: ${show(answer)}`, input);
  }

  #validator(path, method, status, { $ref }) {
    const escaped = encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'));
    const at = $ref ?? `#/paths/${escaped}/${method}/responses/${status}`;
    const pointer = `openapi${at}/content/application~1json/schema`;
    if (!this.#validators.has(pointer)) this.#validators.set(pointer, this.#ajv.compile({ $ref: pointer }));
    return this.#validators.get(pointer);
  }
}

/** Requests of one operation. */
function called(path, method, operation, apiKey) {
  const parameters = operation.parameters ?? [];
  const of = (place) => parameters.filter((each) => each.in === place);
  const params = fc.record(
    Object.fromEntries(
      of('path').map(({ name, schema }) => [
        name,
        fc.oneof({ weight: 5, arbitrary: name === 'user' ? user : room }, fitting(schema), text),
      ]),
    ),
  );
  const query = fc.record(
    Object.fromEntries(of('query').map(({ name, schema }) => [name, fc.oneof(fitting(schema), text, value)])),
    { requiredKeys: [] },
  );
  const schema = operation.requestBody?.content['application/json'].schema;
  const written = schema
    ? fc
        .oneof(
          { weight: 4, arbitrary: fitting(schema).map(JSON.stringify) },
          { weight: 5, arbitrary: nearly(schema).map(JSON.stringify) },
          { weight: 2, arbitrary: value.map((each) => JSON.stringify(each)) },
          { weight: 1, arbitrary: text },
        )
        .map((each) => Buffer.from(each ?? ''))
    : fc.constant(undefined);
  const body = schema
    ? fc.oneof(
        { weight: 12, arbitrary: written },
        { weight: 1, arbitrary: damaged(written) },
        { weight: 1, arbitrary: bytes },
      )
    : written;
  const headers = fc.record({
    authorization: fc.oneof(
      { weight: 12, arbitrary: fc.constant(`Bearer ${apiKey}`) },
      {
        weight: 2,
        arbitrary: fc.constantFrom(undefined, 'Bearer', 'Bearer x', `Basic ${apiKey}`, `Bearer ${apiKey}x`),
      },
      { weight: 1, arbitrary: text },
    ),
    'content-type': fc.oneof(
      { weight: 12, arbitrary: fc.constant('application/json') },
      {
        weight: 1,
        arbitrary: fc.constantFrom(undefined, 'text/plain', 'application/json; charset=utf-16', '__proto__'),
      },
    ),
    'content-encoding': fc.oneof({ weight: 20, arbitrary: fc.constant(undefined) }, fc.constantFrom('gzip', 'br', 'x')),
    'idempotency-key': fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      fc.constantFrom('a', '__proto__'),
      text,
    ),
    'x-forwarded-for': fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, text),
  });
  const verb = fc.oneof(
    { weight: 20, arbitrary: fc.constant(method) },
    fc.constantFrom(...METHODS, 'patch', 'options', 'head'),
  );
  return fc.record({ params, query, headers, body, verb, asIs: fc.nat(9) }).map((made) => ({
    path,
    operation,
    method: made.verb.toLowerCase() === 'head' ? 'get' : made.verb,
    address: address(path, made.params, made.query, made.asIs === 0),
    headers: Object.fromEntries(Object.entries(made.headers).filter(([, each]) => each !== undefined)),
    body: made.body,
  }));
}

/** What a schema asks for. */
function fitting(schema) {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return fc.oneof(...choices.map(fitting));
  switch (schema.type) {
    case 'string':
      // fast-check makes no text for a pattern that looks ahead.
      if (schema.pattern && !/\(\?[!=<]/.test(schema.pattern))
        return fc.oneof(fc.constantFrom(...ROOMS), fc.stringMatching(new RegExp(schema.pattern)));
      return fc.oneof(fc.constantFrom(...ROOMS, 'a', '1s', 'a.1', 'chat'), fc.string({ maxLength: 20 }));
    case 'integer':
    case 'number': {
      const [min, max] = [schema.minimum ?? 0, schema.maximum ?? 100_000];
      return fc.integer({ min: Math.max(min, -1_000_000), max: Math.min(max, 1_000_000) });
    }
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(fitting(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 6 });
    case 'object':
      return fc.record(
        Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, each]) => [name, fitting(each)])),
        { requiredKeys: schema.required ?? [] },
      );
    default:
      return value;
  }
}

/** One field is otherwise than asked for. */
function nearly(schema) {
  const names = Object.keys(schema.properties ?? {});
  if (names.length === 0) return value;
  return fc
    .tuple(fitting(schema), fc.constantFrom(...names, '__proto__', 'constructor', 'toJSON'), value)
    .map(([fits, name, other]) => ({ ...fits, ['__proto__']: undefined, [name]: other }));
}

function address(path, params, query, asIs) {
  const encode = (each) => (asIs ? printable(each) : encodeURIComponent(printable(each)));
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encode(String(params[name])));
  const asked = Object.entries(query).map(
    ([name, each]) => `${name}=${encode(typeof each === 'string' ? each : JSON.stringify(each))}`,
  );
  return (asked.length === 0 ? filled : `${filled}?${asked.join('&')}`).slice(0, 15_000);
}

/** Halves of surrogate pairs cannot be in an address. */
function printable(text) {
  return String(text).toWellFormed?.() ?? Buffer.from(String(text)).toString();
}

function isElsewhere(address, path) {
  const pattern = new RegExp(`^${path.replace(/\{\w+\}/g, '[^/?#]+')}$`);
  return !pattern.test(address.split('?')[0]) || /(^|\/)\.\.?(\/|$)|#/.test(address);
}

/** What is hardly HTTP, or has headers that Node's own client would not send. */
function raw(apiKey) {
  const line = fc.constantFrom(
    ...['GET /v1/rooms HTTP/1.1', 'POST /v1/rooms/a/messages HTTP/1.1', 'GET /health/live HTTP/1.0', 'GET  / HTTP/1.1'],
    ...['GET /v1/../../etc/passwd HTTP/1.1', 'GET //v1/rooms HTTP/1.1', 'GET /v1/rooms/%00 HTTP/1.1', 'PRI * HTTP/2.0'],
    ...['GET http://x/v1/rooms HTTP/1.1', 'CONNECT x:1 HTTP/1.1', 'OPTIONS * HTTP/1.1', 'GET /v1/rooms/%ff HTTP/1.1'],
    ...[
      'GET /v1/rooms/a%0d%0aX-Injected:1 HTTP/1.1',
      'TRACE / HTTP/1.1',
      'GET /socket.io/ HTTP/1.1',
      `GET /${'x'.repeat(17_000)} HTTP/1.1`,
    ],
  );
  const header = fc.constantFrom(
    ...[
      'Host: x',
      'Host: a\r\nHost: b',
      'Content-Length: 5',
      'Content-Length: -1',
      'Content-Length: 5, 6',
      'Expect: 100-continue',
    ],
    ...[
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: chunked, x',
      'Connection: upgrade\r\nUpgrade: websocket',
      'Upgrade: h2c',
    ],
    ...[
      `Authorization: Bearer ${apiKey}`,
      'Content-Type: application/json',
      'X: \x00',
      'X: a\nSet-Cookie: b',
      ' X: folded',
    ],
    ...[
      'Idempotency-Key: a\r\n b',
      '__proto__: x',
      'constructor: x',
      `X: ${'y'.repeat(20_000)}`,
      'Sec-WebSocket-Key: x',
    ],
    ...['Expect: x', 'Sec-WebSocket-Version: 99', 'Range: bytes=0-', 'Accept: \u00ff', 'If-None-Match: *'],
  );
  const rest = fc.oneof(
    fc.constantFrom('', '{"event":"x"}', '5\r\nhello\r\n0\r\n\r\n', 'ffffffffffffffffff\r\n', '-1\r\n'),
    text,
  );
  const whole = fc
    .tuple(line, fc.array(header, { maxLength: 5 }), rest)
    .map(([first, headers, body]) => Buffer.from(`${[first, ...headers].join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  return fc.oneof({ weight: 4, arbitrary: whole }, damaged(whole), bytes).map((each) => ({ raw: each }));
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
