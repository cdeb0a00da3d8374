/*
 * What instances with a secret have to keep over every transport, against those who can reach the broker and do not know
 * it: they may be heard in rooms, and make nobody act.
 */
import type { Bus } from '../bus.js';
import type { BusOptions } from '../bus-options.js';
import type { Channel, Features, Link, Transport } from '../transport.js';
import { until } from './conditions.js';
import { listen, say, type Stage } from './stage.js';

const SECRET = 'the secret of the instances';
const OTHER = 'a secret of somebody else';

/** Registers the cases, inside a `describe`. */
export function secrets(stage: Stage, features: Features): void {
  it.each([false, true])(
    'lets those who share a secret talk as before, signatures required: %s',
    async (requireSigned) => {
      const options = { secret: SECRET, requireSigned };
      const [one, other] = await Promise.all([stage.bus(options), stage.bus({ ...options, instance: 'other' })]);
      const [here, there] = [acts(one), acts(other)];
      const [room, further] = await Promise.all([listen(one, 'room:a'), listen(other, 'room:a')]);
      await one.control.send('all', { kind: 'test' }, ['to all']);
      await one.control.send({ instance: 'other' }, { kind: 'test' }, ['to one']);
      await say(one, 'room:a', 'in the room');
      await until('all is heard', () => there.length === 2 && here.length === 1);
      await until('the room is heard', () => room.messages.length === 1 && further.messages.length === 1);
      expect([here, there]).toEqual([['to all'], ['to all', 'to one']]);
      expect([room.messages, further.messages]).toEqual([['in the room'], ['in the room']]);
      const echo = one.roundTrip;
      await until('probes come back', () => one.roundTrip !== echo);
      expect([one.counts.untrusted, other.counts.untrusted]).toEqual([0, 0]);
    },
  );

  it.each<[string, BusOptions]>([
    ['no secret', {}],
    ['another secret', { secret: OTHER }],
    ['another secret, signing all', { secret: OTHER, requireSigned: true }],
  ])('is not made to act by who has %s, and counts it', async (_, options) => {
    const [knowing, stranger] = await Promise.all([
      stage.bus({ secret: SECRET, instance: 'knowing' }),
      stage.bus(options),
    ]);
    const done = acts(knowing);
    const room = await listen(knowing, 'room:a');
    await stranger.control.send('all', { kind: 'test' }, ['forged']);
    await stranger.control.send({ instance: 'knowing' }, { kind: 'test' }, ['forged']);
    await say(stranger, 'room:a', 'in the room');
    const signsRooms = options.requireSigned ?? false;
    await until('all of it has come', () => knowing.counts.untrusted === (signsRooms ? 3 : 2));
    // What a stranger says in a room is heard like any service's, unless it claims to be signed.
    if (!signsRooms) await until('the room is heard', () => room.messages.length === 1);
    await knowing.control.send('all', { kind: 'test' }, ['own']);
    await until('its own is heard', () => done.length > 0);
    expect(done).toEqual(['own']);
    expect(room.messages).toEqual(signsRooms ? [] : ['in the room']);
    expect([knowing.state, knowing.counts.failed, knowing.counts.unreadable]).toEqual(['up', 0, 0]);
  });

  it('is heard by who has no secret, whatever is signed', async () => {
    const [knowing, plain] = await Promise.all([stage.bus({ secret: SECRET, requireSigned: true }), stage.bus()]);
    const done = acts(plain);
    const room = await listen(plain, 'room:a');
    await knowing.control.send('all', { kind: 'test' }, ['signed']);
    await say(knowing, 'room:a', 'signed');
    await until('both are heard', () => done.length === 1 && room.messages.length === 1);
    expect([done, room.messages]).toEqual([['signed'], ['signed']]);
  });

  it('hears nobody in a room who does not sign, where signatures are required', async () => {
    const options = { secret: SECRET, requireSigned: true };
    const [knowing, other, stranger] = await Promise.all([stage.bus(options), stage.bus(options), stage.bus()]);
    const room = await listen(knowing, 'room:a');
    await say(stranger, 'room:a', 'plain');
    await until('it is refused', () => knowing.counts.untrusted === 1);
    await say(other, 'room:a', 'signed');
    await until('the signed one is heard', () => room.messages.length === 1);
    expect(room.messages).toEqual(['signed']);
  });

  it('acts once on a message that somebody has captured and publishes again', async () => {
    const wire = tapped(stage.transport);
    const [speaker, hearer] = await Promise.all([
      stage.bus({ secret: SECRET, on: wire.transport }),
      stage.bus({ secret: SECRET }),
    ]);
    const done = acts(hearer);
    await speaker.control.send('all', { kind: 'test' }, ['once']);
    await until('it is heard', () => done.length === 1);
    for (let i = 0; i < 2; i++) await wire.publish('all', wire.captured('once'));
    await until('both are refused', () => hearer.counts.untrusted === 2);
    await speaker.control.send('all', { kind: 'test' }, ['last']);
    await until('the last is heard', () => done.includes('last'));
    expect(done).toEqual(['once', 'last']);
  });

  it('does not act on a message that was captured on its way to another', async () => {
    const wire = tapped(stage.transport);
    const [speaker, hearer] = await Promise.all([
      stage.bus({ secret: SECRET, on: wire.transport, instance: 'speaker' }),
      stage.bus({ secret: SECRET, instance: 'hearer' }),
    ]);
    const done = acts(hearer);
    await speaker.control.send({ instance: 'speaker' }, { kind: 'test' }, ['to itself']);
    for (const channel of ['all', 'instance:hearer'] as const) await wire.publish(channel, wire.captured('to itself'));
    await until('both are refused', () => hearer.counts.untrusted === 2);
    expect(done).toEqual([]);
  });

  it('exchanges its secret for another, one instance after the other', async () => {
    const [old, both, fresh] = await Promise.all([
      stage.bus({ secret: [SECRET, OTHER] }),
      stage.bus({ secret: [OTHER, SECRET] }),
      stage.bus({ secret: OTHER }),
    ]);
    const done = [old, both, fresh].map(acts);
    await old.control.send('all', { kind: 'test' }, ['signed with the old']);
    await until('who has only the new one refuses it', () => fresh.counts.untrusted === 1);
    for (const each of [both, fresh]) await each.control.send('all', { kind: 'test' }, ['signed with the new']);
    await until('all have heard', () => done[0]!.length === 3 && done[1]!.length === 3 && done[2]!.length === 2);
    expect(done[2]).toEqual(['signed with the new', 'signed with the new']);
    expect([old, both].map(({ counts }) => counts.untrusted)).toEqual([0, 0]);
  });

  if (features.redelivers) {
    it('keeps a control message whose listener threw as a dead letter, and no forged ones', async () => {
      const [knowing, stranger] = await Promise.all([stage.bus({ secret: SECRET }), stage.bus()]);
      let tried = 0;
      knowing.control.on('test', () => {
        tried++;
        throw new Error('no');
      });
      await stranger.control.send('all', { kind: 'test' }, ['forged']);
      await until('it is refused', () => knowing.counts.untrusted === 1);
      await knowing.control.send('all', { kind: 'test' }, ['poison']);
      // The second time it is its own replay.
      const letters: string[] = [];
      await until('it is a dead letter', async () => {
        letters.push(...(await stage.set.deadLetters!(stage.prefix)));
        return letters.length > 0;
      });
      expect(letters).toEqual([expect.stringContaining('"args":["poison"]')]);
      expect([tried, knowing.counts.failed, knowing.counts.untrusted]).toEqual([1, 1, 2]);
    });
  }
}

/** The words of the control messages that a bus acts on. */
function acts(bus: Bus): string[] {
  const words: string[] = [];
  bus.control.on('test', ({ args }) => words.push(...(JSON.parse(args.toString()) as string[])));
  return words;
}

/** A transport on whose link anybody may publish what was published on it before, byte for byte. */
function tapped(transport: Transport) {
  const sent: Buffer[] = [];
  let link: Link;
  const open: Transport['open'] = async (events, options) => {
    link = await transport.open(events, options);
    return {
      publish: (channel, payload) => {
        sent.push(payload);
        return link.publish(channel, payload);
      },
      subscribe: (channels) => link.subscribe(channels),
      unsubscribe: (channels) => link.unsubscribe(channels),
      log: link.log,
      jobs: link.jobs,
      records: link.records,
      close: () => link.close(),
    };
  };
  return {
    transport: { ...transport, open } satisfies Transport,
    captured: (text: string) => sent.find((payload) => payload.includes(text))!,
    publish: (channel: Channel, payload: Buffer) => link.publish(channel, payload),
  };
}
