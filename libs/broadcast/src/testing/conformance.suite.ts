/*
 * What every transport has to keep, as cases against a real broker. A transport passes all of them, or declares in its
 * `features` what is different, and then has a case for that.
 */
import { randomBytes } from 'node:crypto';
import type { Channel, Features, Transport } from '../transport.js';
import { collect, until, type Heard } from './conditions.js';
import { logs } from './logs.suite.js';
import { outages } from './outages.suite.js';
import { records } from './records.suite.js';
import { secrets } from './secrets.suite.js';
import { codeOf, codeOfRejection, listen, say, Stage, type ConformanceSetup } from './stage.js';

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
  'ü'.repeat(150),
  'y'.repeat(1_000),
  `${'y'.repeat(999)}z`,
];

/** Registers the suite under a name, once per configuration. */
export function conformance(name: string, features: Features, set: ConformanceSetup): void {
  describe(`${name} keeps the contract of a transport`, () => {
    const stage = new Stage(set);

    it('declares what it can do', () => {
      expect(stage.transport.features).toEqual(features);
      expect(stage.transport.name).toMatch(/^[a-z]+$/);
    });

    it('hears everything that is said once a subscription is ready, 200 times of 200', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
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
      const buses = await Promise.all([stage.bus(), stage.bus(), stage.bus()]);
      const heard = await Promise.all(buses.map((each) => listen(each, 'room:a')));
      for (const [i, each] of buses.entries()) await say(each, 'room:a', `from ${i}`);
      await until('nine deliveries', () => heard.every(({ messages }) => messages.length >= 3));
      for (const { messages } of heard) expect([...messages].sort()).toEqual(['from 0', 'from 1', 'from 2']);
    });

    it('is not heard in another room, or under another prefix', async () => {
      const here = await stage.bus();
      const there = await stage.bus({ on: stage.set.transport(`${stage.prefix}other.`) });
      const [other, elsewhere, own] = await Promise.all([
        listen(here, 'room:b'),
        listen(there, 'room:a'),
        listen(here, 'room:a'),
      ]);
      const control: string[] = [];
      for (const each of [here, there]) each.control.on('test', ({ args }) => control.push(args.toString()));
      await here.control.send('all', { kind: 'test' }, ['here']);
      await there.control.send('all', { kind: 'test' }, ['there']);
      await say(here, 'room:a', 'one');
      await say(there, 'room:b', 'two');
      await until('the one is heard', () => own.messages.length === 1);
      // What was published before it on the same way would have arrived before it.
      await say(here, 'room:b', 'last');
      await say(there, 'room:a', 'last');
      await until('the last are heard', () => other.messages.length > 0 && elsewhere.messages.length > 0);
      expect([other.messages, elsewhere.messages]).toEqual([['last'], ['last']]);
      await until('both have heard their own', () => control.length >= 2);
      expect(control.sort()).toEqual(['["here"]', '["there"]']);
      await there.close();
    });

    it("keeps each publisher's order, at every instance", async () => {
      // A busy machine is slow to return probes, and a link that is dropped leaves messages uncertain.
      const patient = { probeInterval: 2_000 };
      const [one, other, ...hearers] = await Promise.all([1, 2, 3, 4].map(() => stage.bus(patient)));
      const speakers = [one!, other!];
      const heard = await Promise.all(hearers.map((each) => listen(each, 'room:a')));
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
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus({ linger: 0 })]);
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

    it('tells the broker when nobody listens any more', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus({ linger: 0 })]);
      const heard = await listen(hearer, 'instance:other');
      await say(speaker, 'instance:other', 'heard');
      await until('it is heard', () => heard.messages.length === 1);
      heard.close();
      // The one kind of channel of which the broker says whether anybody has subscribed to it.
      await until(
        'nobody is there',
        async () => (await codeOfRejection(say(speaker, 'instance:other', 'unheard'))) === 'NO_LISTENER',
      );
      expect(heard.messages).toEqual(['heard']);
    });

    it('costs the broker nothing to leave and rejoin within the linger', async () => {
      const calls: string[] = [];
      const hearer = await stage.bus({ on: counted(stage.transport, calls), linger: 500 });
      const speaker = await stage.bus();
      const first = await listen(hearer, 'room:a');
      calls.length = 0;
      first.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const again = collect(hearer, 'room:a');
      expect(again.live).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 700)); // longer than the linger
      await say(speaker, 'room:a', 'still heard');
      await until('it is heard', () => again.messages.length === 1);
      expect(calls).toEqual([]);
      again.close();
      await until('it is left after the linger', () => calls.includes('unsubscribe room:a'));
    });

    // RabbitMQ hears the larger number through one wide binding, and the smaller for as long as the single ones take.
    it.each([1_500, 2_500])('hears %i rooms at once, each its own, as soon as each is ready', async (count) => {
      // A machine that is busy with the rooms is slow to return probes, and a link that is dropped loses messages.
      const patient = { probeInterval: 2_000 };
      const [speaker, hearer] = await Promise.all([stage.bus(patient), stage.bus(patient)]);
      const rooms = Array.from({ length: count }, (_, i): Channel => `room:many.${i}`);
      const heard = rooms.map((room) => collect(hearer, room));
      const said = (room: Channel) => [1, 2, 3, 4, 5].map((n) => `${n} in ${room}`);
      await Promise.all(
        rooms.map(async (room, i) => {
          await heard[i]!.ready(15_000);
          for (const text of said(room)) await say(speaker, room, text);
        }),
      );
      await until('every room hears', () => heard.every(({ messages }) => messages.length >= 5));
      expect(heard.map(({ messages }) => messages)).toEqual(rooms.map(said));
    });

    it('takes any string as a room, and never one for another', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
      const heard = await Promise.all(HOSTILE_ROOMS.map((room) => listen(hearer, `room:${room}`)));
      for (const [i, room] of HOSTILE_ROOMS.entries()) await say(speaker, `room:${room}`, String(i));
      await until('every room hears', () => heard.every(({ messages }) => messages.length >= 1));
      expect(heard.map(({ messages }) => messages)).toEqual(HOSTILE_ROOMS.map((_, i) => [String(i)]));
    });

    it('carries any bytes after the first: all 256 values, none at all, and a megabyte', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
      const heard: Buffer[] = [];
      await hearer.subscribe('room:a', (payload) => heard.push(Buffer.from(payload))).ready();
      const payloads = [
        Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
        Buffer.alloc(0),
        Buffer.concat([Buffer.from('{'), randomBytes(1024 * 1024)]),
      ];
      for (const payload of payloads) await speaker.publish('room:a', payload);
      await until('all arrive', () => heard.length === payloads.length);
      expect(heard.every((each, i) => each.equals(payloads[i]!))).toBe(true);
    });

    it('reaches every instance, or one, by the control channels', async () => {
      const buses = await Promise.all(['i-1', 'i-2', 'i-3'].map((instance) => stage.bus({ instance })));
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
      const [here, gone] = await Promise.all([stage.bus(), stage.bus({ instance: 'gone' })]);
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
      expect([here.state, here.counts.outages]).toEqual(['up', 0]);
    });

    it('goes on when a listener throws: the others hear it, and what follows arrives', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
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
      await until('the other has heard it as often', () => heard.messages.length === 2 + expected);
      expect(heard.messages.filter((text) => text !== 'bad')).toEqual(['before', 'after']);
      expect(hearer.counts.failed).toBe(expected);
      expect(hearer.state).toBe('up');
    });

    if (features.redelivers) {
      it('keeps what could not be handled twice as a dead letter', async () => {
        const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
        const subscription = hearer.subscribe('room:a', () => {
          throw new Error('no');
        });
        await subscription.ready();
        await say(speaker, 'room:a', 'poison');
        await until('it is a dead letter', async () => (await stage.set.deadLetters!(stage.prefix)).includes('poison'));
        expect(hearer.counts.failed).toBe(2);
      });
    }

    it('refuses everything when it is closed, and closes twice without harm', async () => {
      const closed = await stage.bus();
      const waiting = closed.subscribe('room:a', () => undefined);
      await waiting.ready();
      const states: string[] = [];
      closed.on('state', (state) => states.push(state));
      await Promise.all([closed.close(), closed.close()]);
      expect([closed.state, states]).toEqual(['closed', ['closed']]);
      expect(await codeOfRejection(say(closed, 'room:a', 'x'))).toBe('CLOSED');
      expect(await codeOfRejection(closed.subscribe('room:b', () => undefined).ready())).toBe('CLOSED');
      expect(await codeOfRejection(closed.connect())).toBe('CLOSED');
    });

    it('sends what was published before it was closed', async () => {
      const [speaker, hearer] = await Promise.all([stage.bus(), stage.bus()]);
      const heard = await listen(hearer, 'room:a');
      for (let i = 0; i < 500; i++) say(speaker, 'room:a', String(i)).catch(() => undefined);
      await speaker.close();
      await until('all 500 arrive', () => heard.messages.length === 500);
    });

    secrets(stage, features);
    records(stage, features);
    logs(stage, features, HOSTILE_ROOMS);

    if (features.network) outages(stage);
    else {
      it('has no network: it is up as soon as it is asked to, and only the same transport object is heard', async () => {
        const [here, there] = await Promise.all([
          stage.bus({ connect: false }),
          stage.bus({ on: stage.set.transport(stage.prefix) }),
        ]);
        await here.connect(0);
        const [own, other] = await Promise.all([listen(here, 'room:a'), listen(there, 'room:a')]);
        await say(here, 'room:a', 'x');
        await until('it is heard here', () => own.messages.length === 1);
        expect(other.messages).toEqual([]);
      });
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
        log: link.log,
        jobs: link.jobs,
        records: link.records,
        close: () => link.close(),
      };
    },
  };
}
