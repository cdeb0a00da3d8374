import { Subscriptions, type SubscriptionsOptions } from './subscriptions.js';
import { ScriptedLink, type ScriptedCall } from './testing/scripted.js';
import type { Channel } from './transport.js';

const failed = jest.fn();
const nothing = () => undefined;

function subscriptions(options: Partial<SubscriptionsOptions> = {}): Subscriptions {
  return new Subscriptions({ callTimeout: 5_000, linger: 1_000, failed, ...options });
}

function linkSilentOn(...methods: ScriptedCall['method'][]): ScriptedLink {
  const link = new ScriptedLink();
  for (const method of methods) link.silent.add(method);
  return link;
}

/** What was asked of the broker: `+a,b` and `-a`. */
function asked(link: ScriptedLink): string[] {
  return link.calls.map(({ method, channels }) => {
    return (method === 'subscribe' ? '+' : '-') + channels.map((channel) => channel.slice(5)).join();
  });
}

const pass = (ms = 0) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => void jest.useFakeTimers({ doNotFake: ['queueMicrotask', 'nextTick'] }));
afterEach(() => {
  jest.useRealTimers();
  jest.clearAllMocks();
});

describe('a subscription', () => {
  it('is live when the broker has acknowledged it, not before', async () => {
    const wanted = subscriptions();
    const link = linkSilentOn('subscribe');
    const subscription = wanted.add('room:a', nothing);
    const ready = jest.fn();
    void subscription.ready().then(ready);
    const attached = wanted.attach(link);
    await pass();
    expect([subscription.live, ready.mock.calls.length]).toEqual([false, 0]);
    link.calls[0]!.answer();
    await attached;
    expect([subscription.live, ready.mock.calls.length]).toEqual([true, 1]);
    await subscription.ready();
  });

  it('is asked for once, whoever else wants it, and with all others of the same turn', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    await wanted.attach(link);
    for (const room of ['a', 'b', 'a']) wanted.add(`room:${room}`, nothing);
    await pass();
    wanted.add('room:a', nothing);
    await pass();
    expect(asked(link)).toEqual(['+a,b']);
    expect(wanted.wanted).toBe(2);
  });

  it('that is closed before it is acknowledged tells so at once, and the broker is not asked for it', async () => {
    const wanted = subscriptions();
    const subscription = wanted.add('room:a', nothing);
    const ready = subscription.ready();
    subscription.close();
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' });
    const link = new ScriptedLink();
    await wanted.attach(link);
    expect([asked(link), failed.mock.calls]).toEqual([[], []]);
  });

  it('may be closed after everything was', async () => {
    const wanted = subscriptions();
    await wanted.attach(new ScriptedLink());
    const [before, after] = [wanted.add('room:a', nothing), (wanted.close(), wanted.add('room:b', nothing))];
    before.close();
    after.close();
    await pass(5_000);
    expect(wanted.wanted).toBe(0);
  });

  it('is asked for in batches of 250', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    for (let i = 0; i < 600; i++) wanted.add(`room:${i}`, nothing);
    await wanted.attach(link);
    expect(link.calls.map(({ channels }) => channels.length)).toEqual([250, 250, 100]);
  });

  it('that the broker does not acknowledge in time is UNAVAILABLE, stays wanted, and comes live with the next link', async () => {
    const wanted = subscriptions();
    const subscription = wanted.add('room:a', nothing);
    const late = expect(subscription.ready(100)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await pass(100);
    await late;
    await wanted.attach(new ScriptedLink());
    expect(subscription.live).toBe(true);
  });

  it('survives the link, and is not live in between', async () => {
    const wanted = subscriptions();
    const [first, second] = [new ScriptedLink(), new ScriptedLink()];
    const subscription = wanted.add('room:a', nothing);
    await wanted.attach(first);
    wanted.detach();
    expect(subscription.live).toBe(false);
    await wanted.attach(second);
    expect(subscription.live).toBe(true);
    expect([asked(first), asked(second)]).toEqual([['+a'], ['+a']]);
  });

  it('that was being asked for when the link broke is asked for on the next, and only that one’s answer counts', async () => {
    const wanted = subscriptions();
    const [first, second] = [linkSilentOn('subscribe'), linkSilentOn('subscribe')];
    const subscription = wanted.add('room:a', nothing);
    wanted.attach(first).catch(nothing);
    wanted.detach();
    const attached = wanted.attach(second);
    first.calls[0]!.answer();
    await pass();
    expect(subscription.live).toBe(false);
    second.calls[0]!.answer();
    await attached;
    expect(subscription.live).toBe(true);
  });

  it('that is never answered ends its link, and no other', async () => {
    const wanted = subscriptions();
    await wanted.attach(linkSilentOn('subscribe'));
    wanted.add('room:a', nothing);
    await pass(4_999);
    expect(failed).not.toHaveBeenCalled();
    await pass(1);
    expect(failed.mock.calls).toEqual([[expect.objectContaining({ code: 'TIMEOUT' })]]);
  });

  it('that a dead link never answers does not end the next', async () => {
    const wanted = subscriptions();
    await wanted.attach(linkSilentOn('subscribe'));
    wanted.add('room:a', nothing);
    await pass(1_000);
    wanted.detach();
    await wanted.attach(new ScriptedLink());
    await pass(60_000);
    expect(failed).not.toHaveBeenCalled();
  });

  it('added while the loop is busy is not forgotten', async () => {
    const wanted = subscriptions();
    const link = linkSilentOn('subscribe');
    wanted.add('room:a', nothing);
    const attached = wanted.attach(link);
    const late = wanted.add('room:b', nothing);
    link.calls[0]!.answer();
    await pass();
    link.calls[1]!.answer();
    await attached;
    expect(late.live).toBe(true);
  });

  it('fails whoever attaches when the broker refuses it', async () => {
    const wanted = subscriptions();
    const link = linkSilentOn('subscribe');
    wanted.add('room:a', nothing);
    const attached = expect(wanted.attach(link)).rejects.toThrow('refused');
    link.calls[0]!.refuse();
    await attached;
  });
});

describe('a channel that nobody listens to any more', () => {
  it('is left after the linger', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    const subscription = wanted.add('room:a', nothing);
    await wanted.attach(link);
    subscription.close();
    expect([wanted.wanted, subscription.live]).toEqual([0, false]);
    await pass(999);
    expect(asked(link)).toEqual(['+a']);
    await pass(1);
    expect(asked(link)).toEqual(['+a', '-a']);
  });

  it('stays while somebody else listens', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    const [one, other] = [wanted.add('room:a', nothing), wanted.add('room:a', nothing)];
    await wanted.attach(link);
    one.close();
    one.close();
    await pass(2_000);
    expect([asked(link), other.live]).toEqual([['+a'], true]);
  });

  it('costs nothing when it is wanted again within the linger, and is live at once', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    const first = wanted.add('room:a', nothing);
    await wanted.attach(link);
    first.close();
    await pass(500);
    expect(wanted.add('room:a', nothing).live).toBe(true);
    await pass(5_000);
    expect(asked(link)).toEqual(['+a']);
  });

  it('is never asked for when it was not yet', async () => {
    const wanted = subscriptions();
    const link = new ScriptedLink();
    wanted.add('room:a', nothing).close();
    await wanted.attach(link);
    expect(asked(link)).toEqual([]);
  });

  it('is not asked for on the next link', async () => {
    const wanted = subscriptions();
    const [first, second] = [new ScriptedLink(), new ScriptedLink()];
    const subscription = wanted.add('room:a', nothing);
    await wanted.attach(first);
    subscription.close();
    wanted.detach();
    await wanted.attach(second);
    await pass(2_000);
    expect(asked(second)).toEqual([]);
    const again = wanted.add('room:a', nothing);
    await pass();
    expect([asked(second), again.live]).toEqual([['+a'], true]);
  });

  it('and is wanted again while the broker lets go of it, is asked for after that', async () => {
    const wanted = subscriptions({ linger: 0 });
    const link = linkSilentOn('unsubscribe');
    const first = wanted.add('room:a', nothing);
    await wanted.attach(link);
    first.close();
    await pass();
    const second = wanted.add('room:a', nothing);
    await pass();
    expect(asked(link)).toEqual(['+a', '-a']);
    link.calls[1]!.answer();
    await pass();
    expect(asked(link)).toEqual(['+a', '-a', '+a']);
    expect(second.live).toBe(true);
  });

  it('is not wanted while it waits behind another call', async () => {
    const wanted = subscriptions({ linger: 0 });
    const link = new ScriptedLink();
    const leaving = wanted.add('room:a', nothing);
    await wanted.attach(link);
    link.silent.add('subscribe');
    wanted.add('room:b', nothing);
    await pass();
    leaving.close();
    await pass(10);
    expect(wanted.wanted).toBe(1);
  });
});

describe('a message', () => {
  it('reaches everyone who listens, though one of them throws; the first error is told', async () => {
    const wanted = subscriptions();
    const heard: string[] = [];
    const listen = (name: string, error?: Error) =>
      wanted.add('room:a', (payload: Buffer, channel: Channel) => {
        heard.push(`${name} ${payload.toString()} ${channel}`);
        if (error) throw error;
      });
    const first = new Error('first');
    listen('1', first);
    listen('2', new Error('second'));
    listen('3');
    expect(() => wanted.deliver('room:a', Buffer.from('x'))).toThrow(first);
    expect(heard).toEqual(['1 x room:a', '2 x room:a', '3 x room:a']);
  });

  it('for a channel that nobody listens to passes', () => {
    expect(() => subscriptions().deliver('room:a', Buffer.from('x'))).not.toThrow();
  });

  it('reaches those who listened when it came, whoever comes and goes meanwhile', () => {
    const wanted = subscriptions();
    const heard: string[] = [];
    wanted.add('room:a', () => {
      heard.push('1');
      wanted.add('room:a', () => heard.push('3'));
      second.close();
    });
    const second = wanted.add('room:a', () => heard.push('2'));
    wanted.deliver('room:a', Buffer.from('x'));
    expect(heard).toEqual(['1', '2']);
  });
});

describe('closing', () => {
  it('rejects whoever waits, and everyone after, with CLOSED', async () => {
    const wanted = subscriptions();
    const subscription = wanted.add('room:a', nothing);
    const waiting = expect(subscription.ready()).rejects.toMatchObject({ code: 'CLOSED' });
    wanted.close();
    await waiting;
    await expect(subscription.ready()).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(wanted.add('room:b', nothing).ready()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(wanted.wanted).toBe(0);
  });

  it('leaves no timer behind, and delivers nothing more', async () => {
    const wanted = subscriptions();
    const listener = jest.fn();
    const subscription = wanted.add('room:a', listener);
    const other = wanted.add('room:b', nothing);
    void subscription.ready().catch(nothing);
    await wanted.attach(new ScriptedLink());
    other.close();
    wanted.close();
    wanted.deliver('room:a', Buffer.from('x'));
    expect([jest.getTimerCount(), listener.mock.calls.length]).toEqual([0, 0]);
  });
});
