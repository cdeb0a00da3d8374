import { Bus, type BusState } from './bus.js';
import type { BusOptions } from './bus-options.js';
import { BroadcastError } from './errors.js';
import { Signature } from './signature.js';
import { ScriptedTransport } from './testing/scripted.js';
import type { Channel } from './transport.js';
import { memory } from './transports/memory.js';

const NEVER = 2 ** 30;
const opened: Bus[] = [];
const warnings: string[] = [];
/** What came with the last of them. */
let lastOptions: unknown;

/** A bus on a scripted broker, and what it has told so far. Waits before attempts are half of their bound. */
function station(options: BusOptions = {}) {
  const transport = new ScriptedTransport();
  const bus = new Bus(transport, { probeInterval: NEVER, backoff: { random: () => 0.5 }, ...options });
  opened.push(bus);
  const told = {
    states: [] as BusState[],
    errors: [] as BroadcastError[],
    gaps: [] as Error[],
    blocked: [] as boolean[],
  };
  bus.on('state', (state) => told.states.push(state));
  bus.on('error', (error) => told.errors.push(error));
  bus.on('gap', (cause) => told.gaps.push(cause));
  bus.on('blocked', (on) => told.blocked.push(on));
  const lose = (why = 'cut') => transport.link.events!.lost(new Error(why));
  return { transport, bus, told, lose };
}

function codes(errors: BroadcastError[]): string[] {
  return errors.map(({ code }) => code);
}

const pass = (ms = 0) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick', 'setImmediate'] });
  jest.spyOn(process, 'emitWarning').mockImplementation((warning, options) => {
    warnings.push(String(warning));
    lastOptions = options;
  });
});
afterEach(async () => {
  const closing = Promise.all(opened.splice(0).map((bus) => bus.close()));
  await pass(60_000);
  await closing;
  expect(warnings.splice(0)).toEqual([]);
  jest.restoreAllMocks();
  jest.useRealTimers();
});

describe('an instance id', () => {
  it.each(['', 'a b', 'a/b', 'ä', '*', 'x'.repeat(65)])('may not be %j', (instance) => {
    expect(() => new Bus(memory(), { instance })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }));
  });

  it.each(['a', 'gw-7f.eu_1', 'x'.repeat(64)])('may be %j, and names the link', async (instance) => {
    const { bus, transport } = station({ instance });
    await bus.connect();
    expect([bus.instance, transport.options?.instance]).toEqual([instance, instance]);
  });

  it('is drawn when none is given', () => {
    const [one, other] = [station().bus.instance, station().bus.instance];
    expect(one).toMatch(/^i-[0-9a-f]{8}$/);
    expect(one).not.toBe(other);
  });
});

describe('what is no transport', () => {
  it.each([[undefined], [{ url: 'redis://127.0.0.1' }], ['redis://127.0.0.1'], [memory]])('is refused: %j', (given) => {
    expect(() => new Bus(given as never)).toThrow(
      expect.objectContaining({
        code: 'BAD_REQUEST',
        message: 'a Bus needs a transport: new Bus(redis({ url }))',
      }),
    );
  });
});

describe('a bus that nobody has connected', () => {
  const forgotten = { code: 'UNAVAILABLE', message: 'the bus has not been connected: call bus.connect()' };

  it('says so to who publishes and waits, and tells it once', async () => {
    const { bus, told } = station();
    const refused = [1, 2].map(() => expect(bus.publish('all', Buffer.from('x'))).rejects.toMatchObject(forgotten));
    refused.push(expect(bus.ready(1_000)).rejects.toMatchObject(forgotten));
    await pass(2_100);
    await Promise.all(refused);
    expect(told.errors).toEqual([expect.objectContaining(forgotten)]);
  });

  it('says nothing of it when it is connected in time', async () => {
    const { bus, transport, told } = station();
    const said = bus.publish('room:a', Buffer.from('x'));
    await bus.connect();
    await said;
    expect([transport.link.published, told.errors]).toEqual([['x'], []]);
  });
});

describe('connecting', () => {
  it('is done when every wanted subscription is acknowledged, not before', async () => {
    const { bus, transport, told } = station();
    transport.next = (link) => link.silent.add('subscribe');
    const subscription = bus.subscribe('room:a', () => undefined);
    const up = bus.connect();
    await pass();
    expect([bus.state, bus.everUp, subscription.live]).toEqual(['connecting', false, false]);
    transport.link.calls[0]!.answer();
    await up;
    expect([bus.state, bus.everUp, subscription.live]).toEqual(['up', true, true]);
    const own = [`instance:${bus.instance}`, `probe:${bus.instance}`];
    expect(transport.link.calls[0]!.channels).toEqual(['all', ...own, 'room:a']);
    expect(told).toEqual({ states: ['connecting', 'up'], errors: [], gaps: [], blocked: [] });
  });

  it('starts once, whoever asks', async () => {
    const { bus, transport } = station();
    await Promise.all([bus.connect(), bus.connect()]);
    await bus.connect();
    expect(transport.links).toHaveLength(1);
  });

  it('is waited for only so long, and goes on', async () => {
    const { bus, transport } = station();
    transport.next = new Error('refused');
    const refused = expect(bus.connect(1_000)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the scripted broker at a:1 could not be reached within 1000 ms: refused; the bus goes on trying',
      cause: transport.next,
    });
    await pass(1_000);
    await refused;
    transport.next = () => undefined;
    await pass(10_000);
    expect(bus.state).toBe('up');
  });

  it('that gets no answer says which broker it was', async () => {
    const { bus, transport } = station();
    transport.next = 'silence';
    const why = 'the scripted broker at a:1 could not be reached within 1000 ms; the bus goes on trying';
    const refused = expect(bus.connect(1_000)).rejects.toMatchObject({ message: why });
    const later = 'within 5500 ms: connecting to a:1 took longer than 5000 ms; the bus goes on trying';
    const refusedLater = expect(bus.ready(5_500)).rejects.toThrow(later);
    await pass(5_500);
    await Promise.all([refused, refusedLater]);
  });

  it('is tried again at once, then ever more rarely, and told once', async () => {
    const { bus, transport, told } = station();
    transport.next = new Error('refused');
    bus.connect().catch(() => undefined);
    await pass(60_000);
    const waits = transport.attempts.slice(1, 11).map((at, i) => Math.round(at - transport.attempts[i]!));
    expect(waits).toEqual([50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    expect(codes(told.errors)).toEqual(['LINK_LOST']);
    expect(told.errors[0]!.message).toBe('scripted: refused; reconnecting');
    expect(told.states).toEqual(['connecting']);
  });

  it('that gets no answer is given up at the deadline, and a link that comes too late is not used', async () => {
    const { bus, transport } = station({ callTimeout: 1_000 });
    transport.next = 'silence';
    bus.connect().catch(() => undefined);
    await pass(500);
    expect(transport.options?.signal.aborted).toBe(false);
    await pass(500);
    expect(transport.options?.signal.aborted).toBe(true);
    transport.next = () => undefined;
    await pass(50);
    expect(bus.state).toBe('up');
  });
});

describe('a lost link', () => {
  it('is closed, told once, and replaced; what is wanted is asked for again, and the gap is told', async () => {
    const { bus, transport, told, lose } = station();
    const subscription = bus.subscribe('room:a', () => undefined);
    await bus.connect();
    const first = transport.link;
    lose();
    await pass();
    expect([bus.state, subscription.live, first.closed]).toEqual(['down', false, true]);
    await pass(50);
    expect([bus.state, subscription.live]).toEqual(['up', true]);
    expect(told.states).toEqual(['connecting', 'up', 'down', 'up']);
    expect(told.errors.map(({ message }) => message)).toEqual(['scripted: cut; reconnecting']);
    expect(told.gaps).toHaveLength(1);
    expect(bus.counts.outages).toBe(1);
  });

  it('is one outage, however often it is told', async () => {
    const { bus, transport, told, lose } = station();
    await bus.connect();
    const first = transport.link;
    lose();
    lose();
    await pass(50);
    first.events!.lost(new Error('late'));
    await pass(1_000);
    expect([bus.state, transport.links.length, told.errors.length]).toEqual(['up', 2, 1]);
  });

  it('and attempts that fail after it, are one outage', async () => {
    const { bus, transport, told, lose } = station();
    await bus.connect();
    transport.next = new Error('refused');
    lose();
    await pass(30_000);
    expect(told.errors).toHaveLength(1);
    transport.next = () => undefined;
    await pass(10_000);
    lose();
    await pass(10_000);
    expect([told.errors.length, bus.counts.outages]).toEqual([2, 2]);
  });

  it('leaves what was under way uncertain at once, and what is said meanwhile to the next', async () => {
    const { bus, transport, lose } = station();
    await bus.connect();
    transport.link.silent.add('publish');
    const uncertain = expect(bus.publish('room:a', Buffer.from('1'))).rejects.toMatchObject({ code: 'UNCERTAIN' });
    lose();
    await pass();
    await uncertain;
    const said = bus.publish('room:a', Buffer.from('2'));
    await pass(50);
    await said;
    expect(transport.links.map(({ published }) => published)).toEqual([['1'], ['2']]);
  });

  it('while it restores the subscriptions is replaced by another that restores them all', async () => {
    const { bus, transport, told, lose } = station();
    const subscription = bus.subscribe('room:a', () => undefined);
    await bus.connect();
    transport.next = (link) => link.silent.add('subscribe');
    lose();
    await pass(50);
    expect([bus.state, transport.link.calls[0]!.channels]).toEqual(['down', expect.arrayContaining(['room:a'])]);
    transport.next = () => undefined;
    lose('cut again');
    await pass(100);
    expect([bus.state, subscription.live, transport.links.length]).toEqual(['up', true, 3]);
    expect([told.errors.length, told.gaps.length]).toEqual([1, 1]);
  });

  it('is any whose broker never acknowledges a subscription', async () => {
    const { bus, transport } = station({ callTimeout: 1_000 });
    await bus.connect();
    transport.link.silent.add('subscribe');
    const subscription = bus.subscribe('room:a', () => undefined);
    await pass(1_000);
    expect([bus.state, subscription.live]).toEqual(['down', false]);
    await pass(100);
    expect([bus.state, subscription.live, transport.links.length]).toEqual(['up', true, 2]);
  });

  it('is any whose broker never answers a publish', async () => {
    const { bus, transport } = station({ callTimeout: 1_000 });
    await bus.connect();
    transport.link.silent.add('publish');
    const uncertain = expect(bus.publish('room:a', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNCERTAIN' });
    await pass(1_200);
    await uncertain;
    expect([bus.state, transport.links.length]).toEqual(['up', 2]);
  });

  it('is any that returns no probe', async () => {
    const { bus, transport, told } = station({ probeInterval: 100, probeMisses: 3 });
    await bus.connect();
    await pass(400);
    expect(bus.state).toBe('down');
    expect(told.errors[0]!.message).toBe('scripted: the link is deaf: no echo for 300 ms; reconnecting');
    // By the way of the rooms, and by that of the control messages.
    expect(transport.links[0]!.of('publish')).toHaveLength(6);
  });

  it('begins the waits afresh when it lived for five seconds, and not when it did not', async () => {
    const { bus, transport, lose } = station();
    await bus.connect();
    const wait = async () => {
      const links = transport.links.length;
      const since = performance.now();
      lose();
      while (transport.links.length === links) await pass(10);
      await pass();
      return Math.floor((performance.now() - since) / 10) * 10;
    };
    const short = [await wait(), await wait(), await wait()];
    await pass(5_000);
    expect([...short, await wait()]).toEqual([50, 100, 200, 50]);
  });

  it('is not heard from any more, and its blocking is over', async () => {
    const { bus, transport, told, lose } = station();
    const heard: string[] = [];
    bus.subscribe('room:a', (payload) => heard.push(payload.toString()));
    await bus.connect();
    const { events } = transport.link;
    events!.blocked(true);
    expect([bus.blocked, told.blocked]).toEqual([true, [true]]);
    events!.message('room:a', Buffer.from('1'));
    lose();
    await pass(50);
    expect([bus.blocked, told.blocked]).toEqual([false, [true, false]]);
    events!.message('room:a', Buffer.from('2'));
    events!.blocked(true);
    transport.link.events!.message('room:a', Buffer.from('3'));
    expect([heard, bus.blocked]).toEqual([['1', '3'], false]);
  });

  it('that does not close is left behind at the deadline, and told', async () => {
    const { bus, transport, lose } = station({ callTimeout: 1_000 });
    transport.next = (link) => link.silent.add('close');
    await bus.connect();
    transport.next = () => undefined;
    lose();
    await pass(1_100);
    expect(bus.state).toBe('up');
    expect(warnings.splice(0)).toEqual(['closing the link took longer than 1000 ms']);
  });

  it('is no gap to those who could not have missed anything', async () => {
    const { bus, transport, told, lose } = station();
    transport.features.network = false;
    await bus.connect();
    lose();
    await pass(50);
    expect([bus.state, told.gaps]).toEqual(['up', []]);
  });
});

describe('a broker that takes no messages', () => {
  it('is told when it begins and when it ends, once, and is waited for', async () => {
    const { bus, transport, told } = station();
    await bus.connect();
    const { events } = transport.link;
    events!.blocked(true);
    events!.blocked(true);
    const said = bus.publish('room:a', Buffer.from('x'));
    await pass(1_000);
    expect(transport.link.published).toEqual([]);
    events!.blocked(false);
    await said;
    expect([told.blocked, transport.link.published]).toEqual([[true, false], ['x']]);
  });

  it('is not deaf', async () => {
    const { bus, transport } = station({ probeInterval: 100, probeMisses: 3 });
    await bus.connect();
    transport.link.events!.blocked(true);
    await pass(10_000);
    expect([bus.state, transport.links.length]).toEqual(['up', 1]);
  });
});

describe('what goes wrong with nobody to tell', () => {
  it('is an error at most once a minute for each code, and counted every time', async () => {
    const { bus, transport, told } = station();
    bus.subscribe('room:a', (payload) => {
      if (payload.length > 1) throw new BroadcastError('UNREADABLE', 'it is not JSON');
      throw new Error('oops');
    });
    await bus.connect();
    const hear = (text: string) => () => transport.link.events!.message('room:a', Buffer.from(text));
    for (let i = 0; i < 3; i++) {
      expect(hear('x')).toThrow(BroadcastError);
      expect(hear('xx')).toThrow(BroadcastError);
    }
    expect(told.errors.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      'LISTENER_FAILED: a listener of room:a threw: oops',
      'UNREADABLE: a message on room:a was dropped: it is not JSON',
    ]);
    await pass(60_000);
    expect(hear('x')).toThrow();
    expect(told.errors).toHaveLength(3);
    expect(bus.counts).toMatchObject({ received: 7, failed: 4, unreadable: 3 });
  });

  it('is a process warning when nobody listens for errors, and not the end of the process', async () => {
    const { bus, lose } = station();
    bus.removeAllListeners('error');
    await bus.connect();
    lose();
    await pass(50);
    expect(bus.state).toBe('up');
    expect(warnings.splice(0)).toEqual(['scripted: cut; reconnecting']);
    expect(lastOptions).toEqual({ type: 'BroadcastWarning', code: 'LINK_LOST', detail: undefined });
  });

  it('is a warning that says where it was thrown when the application threw it', async () => {
    const { bus, transport } = station();
    bus.removeAllListeners('error');
    await bus.connect();
    bus.subscribe('room:a', () => {
      throw new Error('oops');
    });
    expect(() => transport.link.events!.message('room:a', Buffer.from('x'))).toThrow();
    expect(warnings.splice(0)).toEqual(['a listener of room:a threw: oops']);
    expect(lastOptions).toMatchObject({ detail: expect.stringMatching(/^Error: oops\n +at .*bus\.spec/) });
  });

  it.each(['state', 'error', 'gap', 'blocked'] as const)(
    'in a listener of %s is a process warning, and stops nobody else',
    async (event) => {
      const { bus, transport, told, lose } = station();
      bus.prependListener(event, () => {
        throw new Error('in a listener');
      });
      await bus.connect();
      transport.link.events!.blocked(true);
      lose();
      await pass(50);
      expect(told.states).toEqual(['connecting', 'up', 'down', 'up']);
      expect([told.errors.length, told.gaps.length, told.blocked.length]).toEqual([1, 1, 2]);
      bus.removeAllListeners(event);
      expect(new Set(warnings.splice(0))).toEqual(new Set(['in a listener']));
    },
  );

  it('is an instance that goes by the same id', async () => {
    const { bus, transport, told } = station({ instance: 'gw-1' });
    await bus.connect();
    for (let i = 0; i < 5; i++) {
      const foreign = { v: 1, kind: 'probe', origin: 'gw-1', args: [`of another ${i}`] };
      transport.link.events!.message('instance:gw-1', Buffer.from(JSON.stringify(foreign)));
    }
    expect(told.errors.map(({ message }) => message)).toEqual([
      'another instance uses the id "gw-1" too: give each its own INSTANCE_ID',
    ]);
  });
});

describe('a bus with a secret', () => {
  const secret = 'the secret of the tests';
  const foreign = new Signature({ secret: 'a secret of somebody else' });
  const own = () => new Signature({ secret });

  /** A station that is up, and what it hears: control messages of kind `test`, and all of room `a`. */
  async function trusting(options: BusOptions) {
    const all = station({ instance: 'gw-1', ...options });
    const heard: string[] = [];
    all.bus.control.on('test', ({ args }) => heard.push(args.toString()));
    all.bus.subscribe('room:a', (payload) => heard.push(payload.toString()));
    await all.bus.connect();
    return {
      ...all,
      heard,
      hear: (channel: Channel, payload: Buffer) => all.transport.link.events!.message(channel, payload),
    };
  }

  const control = (text: string) => Buffer.from(JSON.stringify({ v: 1, kind: 'test', args: [text] }));

  it('signs its control messages, and those to rooms only where signatures are required', async () => {
    for (const requireSigned of [false, true]) {
      const { bus, transport } = await trusting({ secret, requireSigned });
      await bus.control.send('all', { kind: 'test' }, []);
      await bus.control.send({ instance: 'gw-2' }, { kind: 'test' }, []);
      await bus.publish('room:a', Buffer.from('x'));
      expect(transport.link.published.map((payload) => payload!.startsWith('\x02'))).toEqual([
        true,
        true,
        requireSigned,
      ]);
    }
  });

  it('has the bytes of the signature count as bytes that wait', async () => {
    const { bus, transport } = await trusting({ secret, maxBytes: 50 });
    transport.link.silent.add('publish');
    const said = bus.publish('all', Buffer.from('123456789'));
    await expect(bus.publish('room:a', Buffer.from('x'))).rejects.toMatchObject({ code: 'OVERLOADED' });
    transport.link.of('publish')[0]!.answer();
    await said;
  });

  it('hears what is signed, without the signature', async () => {
    const { hear, heard, bus } = await trusting({ secret });
    hear('all', own().seal('all', control('all')));
    hear('instance:gw-1', own().seal('instance:gw-1', control('one')));
    hear('room:a', new Signature({ secret, requireSigned: true }).seal('room:a', Buffer.from('signed')));
    hear('room:a', Buffer.from('plain'));
    expect(heard).toEqual(['["all"]', '["one"]', 'signed', 'plain']);
    expect(bus.counts).toMatchObject({ received: 4, untrusted: 0, unreadable: 0, failed: 0 });
  });

  it('drops, counts, and tells once a minute what is not to be trusted', async () => {
    const { hear, heard, bus, told } = await trusting({ secret });
    const late = own().seal('all', control('late'));
    const forged = new Signature({ secret: 'a secret of somebody else', requireSigned: true });
    const refused: [Channel, Buffer][] = [
      ['all', control('unsigned')],
      ['instance:gw-1', foreign.seal('instance:gw-1', control('forged'))],
      ['room:a', forged.seal('room:a', Buffer.from('forged'))],
      ['all', late],
    ];
    await pass(45_000);
    for (const [channel, payload] of refused) {
      expect(() => hear(channel, payload)).toThrow(expect.objectContaining({ code: 'UNTRUSTED' }));
    }
    expect([heard, bus.state]).toEqual([[], 'up']);
    expect(bus.counts).toMatchObject({ received: 4, untrusted: 4, unreadable: 0, failed: 0 });
    expect(told.errors.map(({ message }) => message)).toEqual([
      'a message on all was dropped: it is not signed; its sender needs the secret',
    ]);
    await pass(60_000);
    expect(() => hear('all', late)).toThrow('it was signed 105 s ago: check the clocks, or it was replayed');
    expect(told.errors).toHaveLength(2);
  });

  it('takes a control message once', async () => {
    const { hear, heard, bus } = await trusting({ secret });
    const sealed = own().seal('all', control('once'));
    hear('all', sealed);
    expect(() => hear('all', sealed)).toThrow('it was heard before: it was replayed');
    expect([heard, bus.counts.untrusted]).toEqual([['["once"]'], 1]);
  });

  it('refuses unsigned room messages where signatures are required', async () => {
    const { hear, heard } = await trusting({ secret, requireSigned: true });
    expect(() => hear('room:a', Buffer.from('plain'))).toThrow(expect.objectContaining({ code: 'UNTRUSTED' }));
    expect(heard).toEqual([]);
  });

  it('works over a line that returns what it sends, probes included', async () => {
    const { bus, transport, told } = await trusting({
      secret,
      requireSigned: true,
      probeInterval: 100,
      probeMisses: 2,
    });
    const { link } = transport;
    const publish = link.publish.bind(link);
    link.publish = (channel, payload) => publish(channel, payload).then(() => link.events!.message(channel, payload));
    await pass(1_000);
    expect([bus.state, told.errors, bus.counts.untrusted]).toEqual(['up', [], 0]);
    expect(bus.counts.received).toBeGreaterThan(5);
  });

  it('needs one where signatures are required', () => {
    expect(() => new Bus(memory(), { requireSigned: true })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }));
  });
});

describe('a bus without a secret', () => {
  it('hears what others sign, and does not send what looks as if it were signed', async () => {
    const { bus, transport } = station();
    const heard: string[] = [];
    bus.subscribe('room:a', (payload) => heard.push(payload.toString()));
    await bus.connect();
    const signature = new Signature({ secret: 'the secret of the tests', requireSigned: true });
    transport.link.events!.message('room:a', signature.seal('room:a', Buffer.from('signed')));
    transport.link.events!.message('room:a', Buffer.from('plain'));
    expect(heard).toEqual(['signed', 'plain']);
    await expect(bus.publish('room:a', Buffer.of(0x02))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    expect(transport.link.published).toEqual([]);
  });
});

describe('closing', () => {
  it('before it ever connected is the end all the same', async () => {
    const { bus, told } = station();
    await bus.close();
    await expect(bus.connect()).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.publish('room:a', Buffer.from('x'))).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(bus.subscribe('room:a', () => undefined).ready()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(told.states).toEqual(['closed']);
  });

  it('while connecting abandons the attempt, and rejects whoever waits', async () => {
    const { bus, transport, told } = station();
    transport.next = 'silence';
    const refused = expect(bus.connect()).rejects.toMatchObject({ code: 'CLOSED' });
    await pass(100);
    await bus.close();
    await refused;
    expect([transport.options?.signal.aborted, told.errors]).toEqual([true, []]);
    await pass(60_000);
    expect(transport.attempts).toHaveLength(1);
  });

  it('while down ends the waiting at once, for the next attempt and for what is to be sent', async () => {
    const { bus, transport, told, lose } = station();
    await bus.connect();
    transport.next = new Error('refused');
    lose();
    await pass(3_000);
    const refused = expect(bus.publish('room:a', Buffer.from('x'))).rejects.toMatchObject({ code: 'CLOSED' });
    const { length } = transport.attempts;
    await bus.close();
    await refused;
    await pass(60_000);
    expect([transport.attempts.length, told.errors.length]).toEqual([length, 1]);
  });

  it('is told before it refuses anything: a last word is sent', async () => {
    const { bus, transport } = station();
    await bus.connect();
    const said: Promise<void>[] = [];
    bus.on('closing', () => said.push(bus.publish('all', Buffer.from('goodbye'))));
    const closing = Promise.all([bus.close(), bus.close()]);
    await pass(100);
    await Promise.all([closing, ...said]);
    expect(transport.link.published).toEqual(['goodbye']);
  });

  it('while up waits for what is being sent, lets go of the broker, and is told as `closed` alone', async () => {
    const { bus, transport, told } = station();
    await bus.connect();
    transport.link.silent.add('publish');
    const said = bus.publish('room:a', Buffer.from('x'));
    const closed = jest.fn();
    void bus.close().then(closed);
    await pass(1_000);
    expect([bus.state, transport.link.closed, closed.mock.calls.length]).toEqual(['up', false, 0]);
    transport.link.of('publish')[0]!.answer();
    await said;
    await pass(10);
    expect([bus.state, transport.link.closed, closed.mock.calls.length]).toEqual(['closed', true, 1]);
    expect(told).toEqual({ states: ['connecting', 'up', 'closed'], errors: [], gaps: [], blocked: [] });
  });

  it('is bounded in time when the broker answers nothing', async () => {
    const { bus, transport } = station({ callTimeout: 1_000 });
    await bus.connect();
    transport.next = new Error('refused');
    for (const method of ['publish', 'close'] as const) transport.link.silent.add(method);
    bus.publish('room:a', Buffer.from('x')).catch(() => undefined);
    const closed = jest.fn();
    void bus.close().then(closed);
    await pass(2_300);
    expect(closed).toHaveBeenCalled();
    expect(warnings.splice(0)).toEqual(['closing the link took longer than 1000 ms']);
  });

  it('twice is once', async () => {
    const { bus, transport, told } = station();
    await bus.connect();
    await Promise.all([bus.close(), bus.close(), pass(100)]);
    await bus.close();
    expect(told.states).toEqual(['connecting', 'up', 'closed']);
    expect(transport.link.of('close')).toHaveLength(1);
  });

  it('leaves no timer behind', async () => {
    const { bus } = station({ probeInterval: 100 });
    await bus.connect();
    await bus.close();
    expect(jest.getTimerCount()).toBe(0);
  });
});
