import { Control } from './control.js';
import { decode, decodeArgs, encode, type Message } from './envelope.js';
import { BroadcastError } from './errors.js';
import { Membership, type Member, type MembershipBus } from './membership.js';
import type { Channel } from './transport.js';

const INTERVAL = 5_000;
const TIMEOUT = 10_000;
/** Time in which the others answer the greeting. */
const GREETING = 100;

interface Sent {
  channel: Channel;
  kind: string | undefined;
  args: unknown[];
}

/** A membership that has started, on a bus that publishes into a list and hears what a case says. */
function station({
  refuse,
  longestPause = 0,
}: { refuse?: (channel: Channel) => Error | undefined; longestPause?: number } = {}) {
  const sent: Sent[] = [];
  const listeners = new Set<(payload: Buffer) => void>();
  const counts = { ignored: 0 };
  const control = new Control({
    instance: 'here',
    counts,
    publish: async (channel, payload) => {
      const message = decode(payload) as Message;
      sent.push({ channel, kind: message.header.kind, args: decodeArgs(message) });
      const error = refuse?.(channel);
      if (error) throw error;
    },
    subscribe: (channel, listener) => {
      listeners.add(listener);
      return { channel, live: true, ready: () => Promise.resolve(), close: () => undefined };
    },
  });
  const bus = { instance: 'here', startedAt: 1_000, control, state: 'up', longestPause } satisfies MembershipBus;
  const membership = new Membership(bus, { role: 'server', version: '1.2.3', interval: INTERVAL, timeout: TIMEOUT });
  const events: [string, string, string?][] = [];
  membership.on('joined', ({ id }) => events.push(['joined', id]));
  membership.on('left', ({ id }, how) => events.push(['left', id, how]));
  membership.start();
  const [listener] = listeners;
  const hear = (kind: string, ...args: unknown[]) => listener!(encode({ kind, origin: 'there' }, args));
  return { bus, membership, sent, events, hear, counts, take: () => sent.splice(0) };
}

const member = (id: string, more: Partial<Member> = {}): Member => ({
  id,
  role: 'gateway',
  version: '1.0.0',
  startedAt: 2_000,
  ...more,
});

const noListener = () => new BroadcastError('NO_LISTENER', 'nobody listens');

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

describe('membership', () => {
  it('announces itself to everyone: with a greeting on joining and when told to, without one at each interval', () => {
    const { membership, take } = station();
    const { self } = membership;
    expect(self).toEqual({
      id: expect.stringMatching(/^here\/\w+$/),
      role: 'server',
      version: '1.2.3',
      startedAt: 1_000,
    });
    expect(take()).toEqual([{ channel: 'all', kind: 'member', args: [self, true] }]);
    jest.advanceTimersByTime(2 * INTERVAL);
    const again = { channel: 'all', kind: 'member', args: [self] };
    expect(take()).toEqual([again, again]);
    membership.announce();
    expect(take()).toEqual([{ channel: 'all', kind: 'member', args: [self, true] }]);
  });

  it('answers a greeting to who greets, and an announcement not at all', () => {
    const { membership, take, hear } = station();
    take();
    hear('member', member('b/1'), true);
    expect(take()).toEqual([{ channel: 'instance:b', kind: 'member', args: [membership.self] }]);
    hear('member', member('c/1'));
    expect(take()).toEqual([]);
  });

  it('tells two servers of one process apart by their ids', () => {
    const [one, other] = [station(), station()];
    expect(one.membership.self.id).not.toBe(other.membership.self.id);
  });

  it('knows who has announced itself, as it was last described, and never itself', () => {
    const { membership, events, hear } = station();
    hear('member', member('b/1'), true);
    hear('member', member('b/2'));
    hear('member', member('b/1', { role: 'worker' }));
    hear('member', membership.self, true);
    expect(membership.others).toEqual([member('b/1', { role: 'worker' }), member('b/2')]);
    expect(membership.size).toBe(3);
    expect(['b/1', 'b/2', membership.self.id].map((id) => membership.has(id))).toEqual([true, true, false]);
    expect(events).toEqual([
      ['joined', 'b/1'],
      ['joined', 'b/2'],
    ]);
  });

  it('forgets at once who says goodbye, and does not mind the goodbye of a stranger', () => {
    const { membership, events, hear } = station();
    hear('member', member('b/1'));
    hear('left', 'c/1');
    hear('left', 'b/1');
    hear('left', 'b/1');
    expect(membership.size).toBe(1);
    expect(events.slice(1)).toEqual([['left', 'b/1', 'closed']]);
  });

  it('forgets who falls silent, and knows it again when it speaks', () => {
    const { membership, events, hear } = station();
    hear('member', member('b/1'));
    hear('member', member('c/1'));
    jest.advanceTimersByTime(TIMEOUT - 1_000);
    hear('member', member('c/1'));
    jest.advanceTimersByTime(2_000);
    expect(membership.others.map(({ id }) => id)).toEqual(['c/1']);
    hear('member', member('b/1'));
    expect(membership.size).toBe(3);
    expect(events.slice(2)).toEqual([
      ['left', 'b/1', 'silent'],
      ['joined', 'b/1'],
    ]);
  });

  it('forgets nobody because it was frozen itself: silence is counted in its own ticks', () => {
    const { membership, hear } = station();
    hear('member', member('b/1'));
    const now = performance.now() + 60_000;
    jest.setSystemTime(Date.now() + 60_000);
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    jest.advanceTimersToNextTimer();
    expect(membership.has('b/1')).toBe(true);
    jest.restoreAllMocks();
  });

  it('forgets nobody while it cannot hear anybody, and begins to count again when it can', () => {
    const { bus, membership, hear } = station();
    hear('member', member('b/1'));
    bus.state = 'down';
    jest.advanceTimersByTime(10 * TIMEOUT);
    expect(membership.has('b/1')).toBe(true);
    bus.state = 'up';
    jest.advanceTimersByTime(TIMEOUT - 1_000);
    expect(membership.has('b/1')).toBe(true);
    jest.advanceTimersByTime(2_000);
    expect(membership.has('b/1')).toBe(false);
  });

  it('is ready when the others have had the time to answer its greeting, or when it stops', async () => {
    const { membership } = station();
    let ready = 0;
    const wait = () => void membership.ready.then(() => ready++);
    wait();
    await jest.advanceTimersByTimeAsync(GREETING - 1);
    expect(ready).toBe(0);
    await jest.advanceTimersByTimeAsync(1);
    expect(ready).toBe(1);
    membership.stop();
    membership.start();
    wait();
    await jest.advanceTimersByTimeAsync(GREETING - 1);
    membership.stop();
    await jest.advanceTimersByTimeAsync(0);
    expect(ready).toBe(2);
  });

  it('is ready without having greeted when nothing can be sent', async () => {
    const { membership } = station({ refuse: () => new BroadcastError('UNAVAILABLE', 'no link') });
    await jest.advanceTimersByTimeAsync(GREETING);
    await membership.ready;
  });

  it('forgets the members of a process that was started again under the same name, when the new one greets', () => {
    const { membership, events, hear } = station();
    hear('member', member('b/1'));
    hear('member', member('b/2'));
    hear('member', member('c/1'));
    hear('member', member('b/3', { startedAt: 3_000 }), true);
    hear('member', member('b/4', { startedAt: 3_000 }), true);
    expect(membership.others.map(({ id }) => id)).toEqual(['c/1', 'b/3', 'b/4']);
    // The clock of the machine that it is started on may be behind.
    hear('member', member('b/5', { startedAt: 1_000 }), true);
    hear('member', member('b/6', { startedAt: 1_000 }), true);
    expect(membership.others.map(({ id }) => id)).toEqual(['c/1', 'b/5', 'b/6']);
    const left = ['b/1', 'b/2', 'b/3', 'b/4'].map((id) => ['left', id, 'gone']);
    expect(events.filter(([event]) => event === 'left')).toEqual(left);
  });

  describe('when somebody has not answered', () => {
    it('forgets it if the broker knows nobody by its name', async () => {
      const { membership, events, take, hear } = station({
        refuse: (channel) => (channel === 'instance:b' ? noListener() : undefined),
      });
      hear('member', member('b/1'));
      hear('member', member('c/1'));
      take();
      membership.check('b/1');
      membership.check('c/1');
      expect(take().map(({ channel, kind }) => [channel, kind])).toEqual([
        ['instance:b', 'ping'],
        ['instance:c', 'ping'],
      ]);
      await jest.advanceTimersByTimeAsync(0);
      expect(membership.others.map(({ id }) => id)).toEqual(['c/1']);
      expect(events.at(-1)).toEqual(['left', 'b/1', 'gone']);
    });

    it('keeps it if the broker could not be asked', async () => {
      const { membership, hear } = station({ refuse: () => new BroadcastError('UNAVAILABLE', 'no link') });
      hear('member', member('b/1'));
      membership.check('b/1');
      await jest.advanceTimersByTimeAsync(0);
      expect(membership.has('b/1')).toBe(true);
    });

    it('looks for one at most twice a second, and never for strangers', async () => {
      const { membership, take, hear } = station();
      for (const id of ['b/1', 'c/1']) hear('member', member(id));
      take();
      for (const id of ['b/1', 'b/1', 'c/1', 'd/1']) membership.check(id);
      expect(take().map(({ channel }) => channel)).toEqual(['instance:b', 'instance:c']);
      await jest.advanceTimersByTimeAsync(499);
      membership.check('b/1');
      expect(take()).toEqual([]);
      await jest.advanceTimersByTimeAsync(1);
      membership.check('b/1');
      expect(take()).toHaveLength(1);
    });

    it('looks at once for one that was forgotten and is back', async () => {
      const { membership, take, hear } = station();
      hear('member', member('b/1'));
      membership.check('b/1');
      hear('left', 'b/1');
      hear('member', member('b/1'));
      take();
      membership.check('b/1');
      expect(take()).toHaveLength(1);
    });
  });

  it.each([
    ['nothing', []],
    ['null', [null]],
    ['a text', ['b/1']],
    ['an id that is no text', [member(5 as never)]],
    ['no role', [{ ...member('b/1'), role: undefined }]],
    ['no version', [{ ...member('b/1'), version: undefined }]],
    ['a time that is no number', [member('b/1', { startedAt: '2000' as never })]],
  ])('takes in nobody who is described by %s', (_, args) => {
    const { membership, hear } = station();
    expect(() => hear('member', ...args, true)).toThrow(expect.objectContaining({ code: 'UNREADABLE' }));
    expect(membership.size).toBe(1);
  });

  it('takes in who is described by more than it knows', () => {
    const { membership, hear } = station();
    hear('member', { ...member('b/1'), zone: 'west' }, true, 'more');
    expect(membership.others).toEqual([member('b/1')]);
  });

  it('says goodbye when it stops, and lets go of everything', async () => {
    const { membership, events, take, hear, counts } = station();
    hear('member', member('b/1'));
    take();
    await jest.advanceTimersByTimeAsync(0);
    membership.stop();
    expect(take()).toEqual([{ channel: 'all', kind: 'left', args: [membership.self.id] }]);
    expect([membership.others, jest.getTimerCount()]).toEqual([[], 0]);
    for (const kind of ['member', 'left', 'ping']) hear(kind, member('b/1'), true);
    expect(counts.ignored).toBe(3);
    expect(membership.size).toBe(1);
    expect(events).toEqual([['joined', 'b/1']]);
  });

  it('waits after an outage for those whose turn to connect again comes later', () => {
    const { membership, hear } = station({ longestPause: 10_000 });
    hear('member', member('b/1'));
    jest.advanceTimersByTime(TIMEOUT - 1_000);
    membership.announce();
    jest.advanceTimersByTime(10_000 + TIMEOUT - 1_000);
    expect(membership.size).toBe(2);
    jest.advanceTimersByTime(3_000);
    expect(membership.size).toBe(1);
  });

  it('says goodbye once, however often it is stopped', () => {
    const { membership, take } = station();
    take();
    membership.stop();
    membership.stop();
    expect(take()).toHaveLength(1);
  });

  it('is of use again after it has stopped', () => {
    const { membership, take, hear } = station();
    membership.stop();
    take();
    membership.start();
    expect(take().map(({ kind }) => kind)).toEqual(['member']);
    hear('member', member('b/1'));
    expect(membership.size).toBe(2);
  });

  it('goes on when nothing can be sent', async () => {
    const { membership, sent, hear } = station({ refuse: () => new BroadcastError('CLOSED', 'the bus was closed') });
    hear('member', member('b/1'), true);
    await jest.advanceTimersByTimeAsync(INTERVAL);
    membership.stop();
    await jest.advanceTimersByTimeAsync(0);
    expect(sent.map(({ kind }) => kind)).toEqual(['member', 'member', 'member', 'left']);
  });

  it('is bounded: in the number of members, and in what they say of themselves', () => {
    const { membership, hear } = station();
    for (let i = 0; i < 2_500; i++) hear('member', member(`m/${i}`));
    expect(membership.size).toBe(2_001);
    expect(() => hear('member', member('long', { role: 'x'.repeat(129) }))).toThrow('does not describe a member');
  });
});
