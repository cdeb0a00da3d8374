/*
 * What every transport has to keep, as cases against a real broker. A transport passes all of them, or declares in its
 * `features` what is different, and then has a case for that.
 */
import { randomBytes } from 'node:crypto';
import { Bus, type BusOptions } from '../bus.js';
import { BroadcastError } from '../errors.js';
import type { Channel, Features, Transport } from '../transport.js';
import { collect, until, type Heard } from './conditions.js';

/** Something between the instances and the broker that can be told to misbehave. */
export interface ConformanceGate {
  pass(): void;
  /** Resets all connections; new ones pass. */
  cut(): void;
  /** Resets all connections and refuses new ones. */
  refuse(): void;
  /** Connections stay open, nothing arrives. */
  blackhole(): void;
  /** Everything takes `ms` longer, in each direction. */
  slow(ms: number): void;
  /** Connections held open at the moment. */
  readonly connections: number;
}

/** A broker that may be killed. */
export interface ConformanceBroker {
  kill(): Promise<void>;
  start(): Promise<void>;
}

export interface ConformanceSetup {
  /** A transport straight to the broker. The prefix goes in front of every name. */
  transport(prefix: string): Transport;
  /** One whose way to the broker leads through a gate. Needed where `features.network`. */
  gated?(prefix: string): Promise<{ transport: Transport; gate: ConformanceGate }>;
  /** One to a broker of its own. Needed where `features.network`. */
  mortal?(prefix: string): Promise<{ transport: Transport; broker: ConformanceBroker }>;
  /** What is left at the broker under a prefix, when everything has been closed. */
  leftovers?(prefix: string): Promise<string[]>;
  /** Messages that were given up and kept. Needed where `features.redelivers`. */
  deadLetters?(prefix: string): Promise<string[]>;
}

/** Outages are found and mended in fractions of a second, so that a run has many. */
const QUICK: BusOptions = {
  callTimeout: 3_000,
  outboxAge: 1_000,
  linger: 50,
  probeInterval: 150,
  probeMisses: 4,
  backoff: { base: 20, max: 200 },
};

const HOSTILE_ROOMS = [
  '#',
  '*',
  '.',
  '..',
  'a.b',
  'a.*',
  'a.#',
  '{}',
  '{a}b',
  '%',
  '%23',
  ' ',
  'two words',
  'line\nbreak',
  'ünï→🎉',
  '\ud800 half a pair',
  'all',
  'room:a',
  'instance:x',
  '__proto__',
  'constructor',
  'abcdefghij0123456789',
  'x'.repeat(200),
  'ü'.repeat(100),
  'y'.repeat(1_000),
  `${'y'.repeat(999)}z`,
];

/** Registers the suite under a name, once per configuration. */
export function conformance(name: string, features: Features, set: ConformanceSetup): void {
  describe(`${name} keeps the contract of a transport`, () => {
    const open: Bus[] = [];
    const rejections: unknown[] = [];
    const onRejection = (reason: unknown) => rejections.push(reason);
    let prefix: string;
    let transport: Transport;

    beforeAll(() => process.on('unhandledRejection', onRejection));
    beforeEach(() => {
      prefix = `t${randomBytes(4).toString('hex')}.`;
      transport = set.transport(prefix);
    });
    afterEach(async () => {
      await Promise.all(open.splice(0).map((bus) => bus.close()));
      expect(rejections.splice(0)).toEqual([]);
      if (set.leftovers)
        await until('nothing is left at the broker', async () => (await set.leftovers!(prefix)).length === 0);
    });
    afterAll(() => process.off('unhandledRejection', onRejection));

    /** A bus that is closed after the case, and up unless told otherwise. */
    async function bus(options: BusOptions & { on?: Transport; connect?: boolean } = {}): Promise<Bus> {
      const { on = transport, connect = true, ...rest } = options;
      const made = new Bus(on, { ...QUICK, ...rest });
      made.on('error', () => undefined);
      open.push(made);
      if (connect) await made.connect(15_000);
      return made;
    }

    async function listen(on: Bus, channel: Channel): Promise<Heard> {
      const heard = collect(on, channel);
      await heard.ready(15_000);
      return heard;
    }

    function say(on: Bus, channel: Channel, text: string): Promise<void> {
      return on.publish(channel, Buffer.from(text));
    }

    it('declares what it can do', () => {
      expect(transport.features).toEqual(features);
      expect(transport.name).toMatch(/^[a-z]+$/);
    });

    it('hears everything that is said once a subscription is ready, 200 times of 200', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      const all: Heard[] = [];
      for (let i = 0; i < 200; i++) {
        const heard = collect(hearer, `room:${i}`);
        all.push(heard);
        await heard.ready();
        await say(speaker, `room:${i}`, `said in ${i}`);
      }
      await until('all 200 arrive', () => all.every(({ messages }) => messages.length === 1));
      expect(all.map(({ messages }) => messages[0])).toEqual(all.map((_, i) => `said in ${i}`));
    });

    it('is heard on every instance, the sender included, once each', async () => {
      const buses = await Promise.all([bus(), bus(), bus()]);
      const heard = await Promise.all(buses.map((each) => listen(each, 'room:a')));
      for (const [i, each] of buses.entries()) await say(each, 'room:a', `from ${i}`);
      await until('nine deliveries', () => heard.every(({ messages }) => messages.length >= 3));
      for (const { messages } of heard) expect([...messages].sort()).toEqual(['from 0', 'from 1', 'from 2']);
    });

    it('is not heard in another room, or under another prefix', async () => {
      const here = await bus();
      const there = await bus({ on: set.transport(`${prefix}other.`) });
      const [other, elsewhere, own] = await Promise.all([
        listen(here, 'room:b'),
        listen(there, 'room:a'),
        listen(here, 'room:a'),
      ]);
      await say(here, 'room:a', 'one');
      await say(there, 'room:b', 'two');
      await until('the one is heard', () => own.messages.length === 1);
      // What was published before it on the same way would have arrived before it.
      await say(here, 'room:b', 'last');
      await say(there, 'room:a', 'last');
      await until('the last are heard', () => other.messages.length > 0 && elsewhere.messages.length > 0);
      expect([other.messages, elsewhere.messages]).toEqual([['last'], ['last']]);
      await there.close();
    });

    it("keeps each publisher's order, at every instance", async () => {
      const speakers = await Promise.all([bus(), bus()]);
      const heard = await Promise.all((await Promise.all([bus(), bus()])).map((each) => listen(each, 'room:a')));
      const count = 1_000;
      await Promise.all(
        speakers.map((speaker, s) =>
          Promise.all(Array.from({ length: count }, (_, i) => say(speaker, 'room:a', `${s}:${i}`))),
        ),
      );
      await until('all arrive', () => heard.every(({ messages }) => messages.length >= 2 * count));
      for (const { messages } of heard) {
        for (const s of speakers.keys()) {
          const own = messages.filter((message) => message.startsWith(`${s}:`));
          expect(own).toEqual(Array.from({ length: count }, (_, i) => `${s}:${i}`));
        }
      }
    });

    it('stops hearing when a subscription is closed, and hears again when it is taken again', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus({ linger: 0 })]);
      const first = await listen(hearer, 'room:a');
      const marker = await listen(hearer, 'room:marker');
      first.close();
      expect(first.live).toBe(false);
      await say(speaker, 'room:a', 'unheard');
      await say(speaker, 'room:marker', '1');
      await until('the marker arrives', () => marker.messages.length === 1);
      expect(first.messages).toEqual([]);
      const second = await listen(hearer, 'room:a');
      await say(speaker, 'room:a', 'heard');
      await until('it is heard again', () => second.messages.length === 1);
      expect([first.messages, second.messages]).toEqual([[], ['heard']]);
    });

    it('costs the broker nothing to leave and rejoin within the linger', async () => {
      const calls: string[] = [];
      const hearer = await bus({ on: counted(transport, calls), linger: 60_000 });
      const speaker = await bus();
      (await listen(hearer, 'room:a')).close();
      calls.length = 0;
      const again = collect(hearer, 'room:a');
      expect(again.live).toBe(true);
      await say(speaker, 'room:a', 'still heard');
      await until('it is heard', () => again.messages.length === 1);
      expect(calls).toEqual([]);
    });

    it('hears 2,500 rooms at once, each its own', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      const rooms = Array.from({ length: 2_500 }, (_, i): Channel => `room:many.${i}`);
      const heard = rooms.map((room) => collect(hearer, room));
      await Promise.all(heard.map((each) => each.ready(15_000)));
      await Promise.all(rooms.map((room) => say(speaker, room, room)));
      await until('every room hears', () => heard.every(({ messages }) => messages.length >= 1));
      expect(heard.every(({ messages }, i) => messages.length === 1 && messages[0] === rooms[i])).toBe(true);
    });

    it('takes any string as a room, and never one for another', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      const heard = await Promise.all(HOSTILE_ROOMS.map((room) => listen(hearer, `room:${room}`)));
      for (const [i, room] of HOSTILE_ROOMS.entries()) await say(speaker, `room:${room}`, String(i));
      await until('every room hears', () => heard.every(({ messages }) => messages.length >= 1));
      expect(heard.map(({ messages }) => messages)).toEqual(HOSTILE_ROOMS.map((_, i) => [String(i)]));
    });

    it('carries any bytes: all 256 values, none at all, and a megabyte', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      const heard: Buffer[] = [];
      await hearer.subscribe('room:a', (payload) => heard.push(Buffer.from(payload))).ready();
      const payloads = [
        Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
        Buffer.alloc(0),
        randomBytes(1024 * 1024),
      ];
      for (const payload of payloads) await speaker.publish('room:a', payload);
      await until('all arrive', () => heard.length === payloads.length);
      expect(heard.every((each, i) => each.equals(payloads[i]!))).toBe(true);
    });

    it('reaches every instance, or one, by the control channels', async () => {
      const buses = await Promise.all(['i-1', 'i-2', 'i-3'].map((instance) => bus({ instance })));
      const heard: string[] = [];
      for (const each of buses)
        each.control.on('test', ({ args }) => heard.push(`${each.instance} ${args.toString()}`));
      await buses[0]!.control.send('all', { kind: 'test' }, ['hello']);
      await until('three hear it', () => heard.length === 3);
      expect(heard.splice(0).sort()).toEqual(['i-1 ["hello"]', 'i-2 ["hello"]', 'i-3 ["hello"]']);
      await buses[0]!.control.send({ instance: 'i-3' }, { kind: 'test' }, ['you']);
      await until('one hears it', () => heard.length === 1);
      expect(heard).toEqual(['i-3 ["you"]']);
    });

    it('says NO_LISTENER for an instance that is not there, or not any more, and stays usable', async () => {
      const [here, gone] = await Promise.all([bus(), bus({ instance: 'gone' })]);
      await here.control.send({ instance: 'gone' }, { kind: 'test' }, []);
      await gone.close();
      await until('the instance is gone', () =>
        here.control.send({ instance: 'gone' }, { kind: 'test' }, []).then(
          () => false,
          (error: unknown) => codeOf(error) === 'NO_LISTENER',
        ),
      );
      expect(await codeOfRejection(here.control.send({ instance: 'never' }, { kind: 'test' }, []))).toBe('NO_LISTENER');
      await say(here, 'room:nobody', 'a room without anybody is not an error');
      expect(here.state).toBe('up');
    });

    it('goes on when a listener throws: the others hear it, and what follows arrives', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      let thrown = 0;
      hearer.subscribe('room:a', (payload) => {
        if (payload.toString() !== 'bad') return;
        thrown++;
        throw new Error('no');
      });
      const heard = await listen(hearer, 'room:a');
      for (const text of ['before', 'bad', 'after']) await say(speaker, 'room:a', text);
      await until('the last arrives', () => heard.messages.includes('after'));
      const expected = features.redelivers ? 2 : 1;
      await until('it was tried', () => thrown === expected);
      expect(heard.messages.filter((text) => text !== 'bad')).toEqual(['before', 'after']);
      expect(hearer.counts.failed).toBe(expected);
      expect(hearer.state).toBe('up');
    });

    if (features.redelivers) {
      it('keeps what could not be handled twice as a dead letter', async () => {
        const [speaker, hearer] = await Promise.all([bus(), bus()]);
        const subscription = hearer.subscribe('room:a', () => {
          throw new Error('no');
        });
        await subscription.ready();
        await say(speaker, 'room:a', 'poison');
        await until('it is a dead letter', async () => (await set.deadLetters!(prefix)).includes('poison'));
        expect(hearer.counts.failed).toBe(2);
      });
    }

    it('refuses everything when it is closed, and closes twice without harm', async () => {
      const closed = await bus();
      const waiting = closed.subscribe('room:a', () => undefined);
      await waiting.ready();
      await Promise.all([closed.close(), closed.close()]);
      expect(closed.state).toBe('closed');
      expect(await codeOfRejection(say(closed, 'room:a', 'x'))).toBe('CLOSED');
      expect(await codeOfRejection(closed.subscribe('room:b', () => undefined).ready())).toBe('CLOSED');
      expect(await codeOfRejection(closed.connect())).toBe('CLOSED');
    });

    it('sends what was published before it was closed', async () => {
      const [speaker, hearer] = await Promise.all([bus(), bus()]);
      const heard = await listen(hearer, 'room:a');
      for (let i = 0; i < 500; i++) say(speaker, 'room:a', String(i)).catch(() => undefined);
      await speaker.close();
      await until('all 500 arrive', () => heard.messages.length === 500);
    });

    if (features.network) networkCases();
    else {
      it('has no network: it is up as soon as it is asked to, and only the same transport object is heard', async () => {
        const [here, there] = await Promise.all([bus(), bus({ on: set.transport(prefix) })]);
        const [own, other] = await Promise.all([listen(here, 'room:a'), listen(there, 'room:a')]);
        await say(here, 'room:a', 'x');
        await until('it is heard here', () => own.messages.length === 1);
        expect(other.messages).toEqual([]);
      });
    }

    function networkCases(): void {
      /** A bus behind a gate, and one with a straight way to the same broker. */
      async function behindGate() {
        const { transport: gatedTransport, gate } = await set.gated!(prefix);
        const gated = await bus({ on: gatedTransport });
        const straight = await bus();
        return { gate, gated, straight };
      }

      it('counts as ready only what is really heard, over a slow line too', async () => {
        const { gate, gated, straight } = await behindGate();
        gate.slow(40);
        for (let i = 0; i < 10; i++) {
          const heard = collect(gated, `room:slow.${i}`);
          await heard.ready(10_000);
          await say(straight, `room:slow.${i}`, 'x');
          await until('it arrives over the slow line', () => heard.messages.length === 1);
        }
        expect(gated.counts.outages).toBe(0);
      });

      it('comes through five outages in a row, each told once', async () => {
        const { gate, gated, straight } = await behindGate();
        const errors: string[] = [];
        let gaps = 0;
        gated.on('error', ({ code }) => errors.push(code));
        gated.on('gap', () => gaps++);
        const [inbound, outbound] = await Promise.all([listen(gated, 'room:in'), listen(straight, 'room:out')]);
        const outages: [string, () => void][] = [
          ['a cut', () => gate.cut()],
          ['a black hole', () => gate.blackhole()],
          ['a refusal', () => gate.refuse()],
          ['another black hole', () => gate.blackhole()],
          ['another cut', () => gate.cut()],
        ];
        for (const [index, [what, begin]] of outages.entries()) {
          begin();
          await until(`${what} is noticed`, () => gated.counts.outages === index + 1);
          gate.pass();
          await gated.ready(15_000);
          expect(inbound.live).toBe(true);
          await say(straight, 'room:in', what);
          await say(gated, 'room:out', what);
          const arrived = (heard: Heard) => heard.messages.includes(what);
          await until(`both ways work after ${what}`, () => arrived(inbound) && arrived(outbound));
        }
        expect(errors).toEqual(outages.map(() => 'LINK_LOST'));
        expect(gaps).toBe(outages.length);
        expect(inbound.messages).toEqual(outages.map(([what]) => what));
      });

      it('has the room of everyone who joined or left during an outage right, afterwards', async () => {
        const { gate, gated, straight } = await behindGate();
        const [kept, left] = await Promise.all([listen(gated, 'room:kept'), listen(gated, 'room:left')]);
        gate.refuse();
        await until('the outage is noticed', () => gated.state === 'down');
        const joined = collect(gated, 'room:joined');
        left.close();
        expect([kept.live, joined.live]).toEqual([false, false]);
        expect(await codeOfRejection(joined.ready(100))).toBe('UNAVAILABLE');
        gate.pass();
        await joined.ready(15_000);
        for (const room of ['left', 'joined', 'kept']) await say(straight, `room:${room}`, room);
        await until('the others are heard', () => joined.messages.length > 0 && kept.messages.length > 0);
        expect([kept.messages, joined.messages, left.messages]).toEqual([['kept'], ['joined'], []]);
      });

      it('sends after a short outage what waited, in order, and before what is said later', async () => {
        const { gate, gated, straight } = await behindGate();
        const heard = await listen(straight, 'room:a');
        gate.cut();
        await until('the outage is noticed', () => gated.state === 'down');
        const sent = ['1', '2', '3'].map((text) => say(gated, 'room:a', text));
        await gated.ready(15_000);
        await Promise.all([...sent, say(gated, 'room:a', '4')]);
        await until('all arrive', () => heard.messages.length === 4);
        expect(heard.messages).toEqual(['1', '2', '3', '4']);
      });

      it('refuses, in a bounded time, what cannot be sent, and never sends it late', async () => {
        const { gate, gated, straight } = await behindGate();
        const heard = await listen(straight, 'room:a');
        gate.refuse();
        await until('the outage is noticed', () => gated.state === 'down');
        const began = Date.now();
        expect(await codeOfRejection(say(gated, 'room:a', 'too late'))).toBe('UNAVAILABLE');
        expect(Date.now() - began).toBeLessThan(QUICK.outboxAge! + 2_000);
        gate.pass();
        await gated.ready(15_000);
        await say(gated, 'room:a', 'in time');
        await until('the later one arrives', () => heard.messages.length > 0);
        expect(heard.messages).toEqual(['in time']);
      });

      it('says UNCERTAIN when the link breaks before the answer', async () => {
        const { gate, gated } = await behindGate();
        gate.blackhole();
        const uncertain = codeOfRejection(say(gated, 'room:a', 'x'));
        expect(await uncertain).toBe('UNCERTAIN');
        gate.pass();
        await gated.ready(15_000);
      });

      it('is not up while the broker is away at the start, and then is', async () => {
        const { transport: gatedTransport, gate } = await set.gated!(prefix);
        gate.refuse();
        const errors: string[] = [];
        const late = await bus({ on: gatedTransport, connect: false });
        late.on('error', ({ code }) => errors.push(code));
        const heard = collect(late, 'room:a');
        expect(await codeOfRejection(late.connect(500))).toBe('UNAVAILABLE');
        expect([late.state, late.everUp]).toEqual(['connecting', false]);
        gate.pass();
        await late.ready(15_000);
        expect(heard.live).toBe(true);
        await say(await bus(), 'room:a', 'x');
        await until('it is heard', () => heard.messages.length === 1);
        expect(errors).toEqual(['LINK_LOST']);
      });

      it.each(['refuse', 'blackhole', 'pass'] as const)(
        'closes in a bounded time while the gate is at %s',
        async (mode) => {
          const { gate, gated } = await behindGate();
          await listen(gated, 'room:a');
          gate[mode]();
          if (mode === 'refuse') await until('the outage is noticed', () => gated.state === 'down');
          const began = Date.now();
          await gated.close();
          expect(Date.now() - began).toBeLessThan(5_000);
          gate.pass();
          await until('no connection stays', () => gate.connections === 0);
        },
      );

      it('closes in a bounded time while it is connecting into a black hole', async () => {
        const { transport: gatedTransport, gate } = await set.gated!(prefix);
        gate.blackhole();
        const stuck = await bus({ on: gatedTransport, connect: false });
        const connecting = codeOfRejection(stuck.connect());
        await until('it is connecting', () => gate.connections > 0);
        await stuck.close();
        expect(await connecting).toBe('CLOSED');
        gate.pass();
        await until('no connection stays', () => gate.connections === 0);
      });

      it('comes back when the broker is killed and started again, under load', async () => {
        const { transport: mortalTransport, broker } = await set.mortal!(prefix);
        const [speaker, hearer] = await Promise.all([bus({ on: mortalTransport }), bus({ on: mortalTransport })]);
        const heard = await listen(hearer, 'room:a');
        let n = 0;
        const load = setInterval(() => void say(speaker, 'room:a', String(n++)).catch(() => undefined), 2);
        await until('messages flow', () => heard.messages.length > 20);
        await broker.kill();
        await until('both have noticed', () => speaker.state === 'down' && hearer.state === 'down');
        await broker.start();
        await Promise.all([speaker.ready(30_000), hearer.ready(30_000)]);
        const before = heard.messages.length;
        await until('messages flow again', () => heard.messages.length > before + 20);
        clearInterval(load);
        const numbers = heard.messages.map(Number);
        expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
        await Promise.all([speaker.close(), hearer.close()]);
      }, 60_000);
    }
  });
}

function counted(transport: Transport, calls: string[]): Transport {
  return {
    ...transport,
    open: async (events, options) => {
      const link = await transport.open(events, options);
      return {
        publish: (channel, payload) => link.publish(channel, payload),
        subscribe: (channels) => {
          calls.push(...channels.map((channel) => `subscribe ${channel}`));
          return link.subscribe(channels);
        },
        unsubscribe: (channels) => {
          calls.push(...channels.map((channel) => `unsubscribe ${channel}`));
          return link.unsubscribe(channels);
        },
        close: () => link.close(),
      };
    },
  };
}

function codeOf(error: unknown): string {
  return error instanceof BroadcastError ? error.code : String(error);
}

function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'resolved', codeOf);
}
