import { Control, type ControlBus } from './control.js';
import { decodeArgs, decode, encode, type Message } from './envelope.js';
import type { Channel } from './transport.js';

/** Publishes into lists, and hears what a test says. */
function station() {
  const published: [Channel, Message][] = [];
  const listeners = new Map<Channel, (payload: Buffer) => void>();
  const bus: ControlBus = {
    instance: 'gw-1',
    counts: { ignored: 0 },
    publish: async (channel, payload) => void published.push([channel, decode(payload) as Message]),
    subscribe: (channel, listener) => {
      listeners.set(channel, listener);
      return { channel, live: true, ready: () => Promise.resolve(), close: () => undefined };
    },
  };
  const control = new Control(bus);
  const hear = (channel: Channel, payload: string | Buffer) => listeners.get(channel)?.(Buffer.from(payload));
  return { bus, control, published, hear, channels: [...listeners.keys()] };
}

const said = (origin: string, kind = 'ping') => encode({ origin, kind }, []);

describe('control messages', () => {
  it('go to every instance or to one, stamped', async () => {
    const { control, published, channels } = station();
    await control.send('all', { kind: 'who' }, ['a', 'b']);
    await control.send({ instance: 'gw-2' }, { kind: 'here', origin: 'gw-1/x' }, ['a']);
    expect(published.map(([channel]) => channel)).toEqual(['all', 'instance:gw-2']);
    const [[, first], [, second]] = published as [[Channel, Message], [Channel, Message]];
    expect(first.header).toEqual({ v: 1, id: expect.any(String), at: expect.any(Number), origin: 'gw-1', kind: 'who' });
    expect(decodeArgs(first)).toEqual(['a', 'b']);
    expect(second.header.origin).toBe('gw-1/x');
    expect(channels).toEqual(['all', 'instance:gw-1']);
  });

  it('reach everyone who listens to their kind, for as long as they listen', () => {
    const { control, hear } = station();
    const heard: string[] = [];
    const stop = control.on('ping', () => heard.push('a'));
    control.on('ping', () => heard.push('b'));
    control.on('other', () => heard.push('c'));
    hear('all', said('gw-2'));
    stop();
    stop();
    hear('instance:gw-1', said('gw-2'));
    expect(heard).toEqual(['a', 'b', 'b']);
  });

  it('reach the others when one throws, who hears of it is told', () => {
    const { control, hear } = station();
    const heard: string[] = [];
    control.on('ping', () => {
      throw new Error('no');
    });
    control.on('ping', () => heard.push('b'));
    expect(() => hear('all', said('gw-2'))).toThrow('no');
    expect(heard).toEqual(['b']);
  });

  it.each([
    ['a kind nobody listens to', said('gw-2', 'other')],
    ['a message without a kind', '{"event":"chat"}'],
    ['a newer version', '{"v":2,"kind":"ping","args":[]}'],
  ])('of %s are ignored and counted', (_, payload) => {
    const { bus, control, hear } = station();
    control.on('ping', () => undefined);
    hear('all', payload);
    expect(bus.counts.ignored).toBe(1);
  });

  it('that cannot be read are their listener’s failure', () => {
    const { hear } = station();
    expect(() => hear('all', 'nonsense')).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
  });

  it('that cannot be encoded reject, and never throw at whoever sends them', async () => {
    const { control } = station();
    await expect(control.send('all', { kind: 'ping' }, [1n])).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  });
});
