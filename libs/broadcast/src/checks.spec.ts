import { memory, redis, rabbitmq, Bus, createAdapter, createEmitter, Rooms, type AdapterOptions } from './index.js';

const refusal = (message: unknown) => expect.objectContaining({ code: 'BAD_REQUEST', message });
const client = { publish: () => undefined, subscribe: () => undefined };

describe.each([
  ['createAdapter', createAdapter, 'createAdapter(new Bus(redis({ url })))'],
  ['createEmitter', createEmitter, 'createEmitter(new Bus(redis({ url })))'],
  ['Rooms', (bus: Bus) => new Rooms(bus), 'new Rooms(new Bus(redis({ url })))'],
])('%s', (name, make, example) => {
  it.each([
    ['nothing', undefined],
    ['a client of a broker', client],
    ['a transport', redis()],
    ['an address', 'redis://127.0.0.1'],
  ])('refuses %s in place of a bus', (_what, given) => {
    expect(() => make(given as never)).toThrow(refusal(`${name} needs a Bus: ${example}`));
  });

  it('takes a bus, of another copy of the library too', () => {
    const bus = new Bus(memory());
    expect(() => make(bus)).not.toThrow();
    expect(() => make(Object.create(bus) as Bus)).not.toThrow();
  });
});

describe.each([
  ['redis', redis, 'redis://user:password@host:6379'],
  ['rabbitmq', rabbitmq, 'amqp://user:password@host:5672/vhost'],
])('%s', (name, make, form) => {
  it.each(['http://me:s3cret@host', 'host:6379', '127.0.0.1:6379', '/tmp/a.sock', '', 5, null])(
    'refuses the address %j, and does not quote it',
    (url) => {
      expect(() => make({ url } as never)).toThrow(refusal(`the url of ${name} is not valid: write it as ${form}`));
    },
  );

  it.each([['redis://me:s3cret@host'], ['amqp://host'], [null]])('refuses %j in place of options', (given) => {
    const message = `${name} needs its address as an option: ${name}({ url: '${form}' })`;
    expect(() => make(given as never)).toThrow(refusal(message));
  });

  it('takes its own addresses, with TLS and without, and shows of them host and port', () => {
    const secured = form.replace('://', 's://').replace('user:password@host', 'me:s3cret@host');
    expect([make().address, make({ url: form }).address, make({ url: secured }).address]).toEqual([
      expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      expect.stringMatching(/^host:\d+$/),
      expect.stringMatching(/^host:\d+$/),
    ]);
  });
});

describe('the options of an adapter', () => {
  const bus = new Bus(memory());
  const make = (options: object) => () => createAdapter(bus, options);
  const names =
    'role, heartbeatInterval, heartbeatTimeout, requestsTimeout, countTimeout, strict, fast, coalesce, slowClientBytes, slowClientAge, timeoutText';

  it.each(['requestTimeout', 'key', 'toString', '__proto__'])('may not be called %s', (name) => {
    const options = Object.defineProperty({}, name, { value: undefined, enumerable: true });
    expect(make(options)).toThrow(refusal(`the adapter has no option ${name}: expected one of ${names}`));
  });

  it.each([
    ['requestsTimeout', ['5s', '5000', -1, 0, NaN, Infinity, 2 ** 31, null], 'a number of milliseconds above 0'],
    ['heartbeatInterval', ['5s', -1], 'a number of milliseconds above 0'],
    ['heartbeatTimeout', [true, -1], 'a number of milliseconds above 0'],
    ['countTimeout', ['1', -1], 'a number of milliseconds above 0'],
    ['role', [5, null], 'a text'],
    ['strict', ['true', 1], 'true or false'],
    ['timeoutText', ['late'], 'a function'],
  ])('have a kind each: %s', (name, values, expected) => {
    for (const value of values) {
      const message = `the option ${name} of the adapter is wrong: expected ${expected}`;
      expect(make({ [name]: value })).toThrow(refusal(message));
    }
  });

  it.each([
    { heartbeatInterval: 10_000 },
    { heartbeatTimeout: 5_000 },
    { heartbeatInterval: 200, heartbeatTimeout: 100 },
  ])('leave a server more time than it takes to announce itself: %j', (options) => {
    const message = /^heartbeatTimeout \(\d+ ms\) has to be longer than heartbeatInterval \(\d+ ms\)/;
    expect(make(options)).toThrow(refusal(expect.stringMatching(message)));
  });

  it.each([['a text'], [null], [5]])('are an object, not %j', (options) => {
    expect(make(options as never)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }));
  });

  it('may all be given, and each may be undefined', () => {
    const options = {
      role: 'chat',
      heartbeatInterval: 1_000,
      heartbeatTimeout: 2_500.5,
      requestsTimeout: 1,
      countTimeout: 2 ** 31 - 1,
      strict: true,
      fast: true,
      coalesce: 0,
      slowClientBytes: 1,
      slowClientAge: 1,
      timeoutText: () => 'late',
    } satisfies Required<AdapterOptions>;
    expect(make(options)).not.toThrow();
    expect(make(Object.fromEntries(Object.keys(options).map((name) => [name, undefined])))).not.toThrow();
  });
});

describe('the options of a bus', () => {
  const make = (options: object) => () => new Bus(memory(), options);

  it.each([
    ['bufferSize', [-1, 1.5, '5', Infinity, null], 'a whole number, 0 or more'],
    ['outboxSize', [-1, NaN], 'a whole number, 0 or more'],
    ['probeMisses', [0, '3'], 'a whole number above 0'],
    ['callTimeout', [0, -1, '5s', 2 ** 31], 'a number of milliseconds above 0'],
    ['linger', [-1, '5s'], 'a number of milliseconds, 0 or more'],
    ['maxBytes', [0, '1MB'], 'a number of bytes above 0'],
    ['requireSigned', ['yes'], 'true or false'],
    ['instance', [5], 'a text'],
  ])('have a kind each: %s', (name, values, expected) => {
    for (const value of values) {
      const message = `the option ${name} of a Bus is wrong: expected ${expected}`;
      expect(make({ [name]: value })).toThrow(refusal(message));
      expect(make({ [name]: undefined })).not.toThrow();
    }
  });

  it('are those that there are', () => {
    expect(make({ outboxsize: 5 })).toThrow(refusal(expect.stringContaining('a Bus has no option outboxsize')));
    expect(make({ backoff: { maximum: 5 } })).toThrow(refusal(expect.stringContaining('no option maximum')));
    expect(make({ backoff: { base: -1 } })).toThrow(refusal(expect.stringContaining('the option base of backoff')));
    expect(() => redis({ uri: 'redis://h' } as never)).toThrow(refusal(expect.stringContaining('no option uri')));
    expect(() => rabbitmq({ heartbeat: '5' } as never)).toThrow(refusal(expect.stringContaining('heartbeat')));
  });
});
