import { BroadcastError } from './errors.js';
import { Failures } from './failures.js';
import { Publisher, type PublisherOptions } from './publisher.js';
import { BrokerRefusal } from './refusal.js';
import { ScriptedLink, type ScriptedCall } from './testing/scripted.js';

const failed = jest.fn();

function publisher(options: Partial<PublisherOptions> = {}): Publisher {
  return new Publisher({
    outboxSize: 3,
    outboxAge: 2_000,
    callTimeout: 5_000,
    appendTimeout: 10_000,
    maxBytes: 1_000,
    failed,
    ...options,
  });
}

function silentLink(): ScriptedLink {
  const link = new ScriptedLink();
  link.silent.add('publish');
  return link;
}

/** Publishes, and keeps what becomes of it: `waiting`, `sent`, or the error. */
function say(out: Publisher, text: string | Buffer) {
  const said: { now: string; error?: Error } = { now: 'waiting' };
  out.publish('room:a', Buffer.from(text)).then(
    () => (said.now = 'sent'),
    (error: BroadcastError) => Object.assign(said, { now: error.code ?? error.message, error }),
  );
  return said;
}

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => void jest.useFakeTimers());
afterEach(() => {
  jest.useRealTimers();
  jest.clearAllMocks();
});

describe('publishing', () => {
  it('is done when the broker has accepted it, not before', async () => {
    const out = publisher();
    const link = silentLink();
    out.attach(link);
    const said = say(out, 'x');
    await pass(4_000);
    expect(said.now).toBe('waiting');
    link.of('publish')[0]!.answer();
    await pass(0);
    expect(said.now).toBe('sent');
  });

  it('waits for a link, and then keeps the order', async () => {
    const out = publisher();
    const link = new ScriptedLink();
    const all = [say(out, '1'), say(out, '2')];
    await pass(1_000);
    out.attach(link);
    all.push(say(out, '3'));
    await pass(0);
    expect(link.published).toEqual(['1', '2', '3']);
    expect(all.map(({ now }) => now)).toEqual(['sent', 'sent', 'sent']);
  });

  it('waits for a link only so long, and then sends nothing late', async () => {
    const out = publisher();
    const said = say(out, 'x');
    await pass(1_900);
    expect(said.now).toBe('waiting');
    await pass(200);
    expect(said.error).toMatchObject({
      code: 'UNAVAILABLE',
      message: 'there was no link to the broker within 2000 ms: nothing was sent',
    });
    const link = new ScriptedLink();
    out.attach(link);
    expect(link.published).toEqual([]);
  });

  it('sends nothing late though a link comes before anybody has looked how long it has waited', async () => {
    const out = publisher();
    const said = say(out, 'late');
    await pass(1_950);
    const inTime = say(out, 'in time');
    const link = new ScriptedLink();
    jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 50);
    out.attach(link);
    await pass(100);
    expect([link.published, said.now, inTime.now]).toEqual([['in time'], 'UNAVAILABLE', 'sent']);
    jest.restoreAllMocks();
  });

  it('is refused at once when the outbox is full, and taken again when it is not', async () => {
    const out = publisher({ outboxSize: 2 });
    const [, , third] = [say(out, '1'), say(out, '2'), say(out, '3')];
    await pass(0);
    expect(third.now).toBe('UNAVAILABLE');
    await pass(2_100);
    const fourth = say(out, '4');
    await pass(0);
    expect(fourth.now).toBe('waiting');
  });

  it('is refused when too many bytes wait or are under way, and taken again when they are not', async () => {
    const out = publisher({ maxBytes: 10 });
    const link = silentLink();
    const waiting = say(out, '12345');
    out.attach(link);
    say(out, '6789');
    const [tooMuch, exactly] = [say(out, '01'), say(out, '0')];
    await pass(0);
    expect([tooMuch.now, exactly.now]).toEqual(['OVERLOADED', 'waiting']);
    link.of('publish')[0]!.answer();
    await pass(0);
    expect(waiting.now).toBe('sent');
    const after = say(out, '12345');
    await pass(0);
    expect(after.now).toBe('waiting');
  });

  it.each<[Error, string]>([
    [new BroadcastError('NO_LISTENER', 'nobody is there'), 'NO_LISTENER'],
    [new Error('socket closed'), 'UNCERTAIN'],
  ])('rejects with what the driver says, and UNCERTAIN for what it does not know: %s', async (error, code) => {
    const out = publisher();
    const link = silentLink();
    out.attach(link);
    const said = say(out, 'x');
    link.of('publish')[0]!.refuse(error);
    await pass(0);
    expect(said.now).toBe(code);
    expect(failed).not.toHaveBeenCalled();
  });

  it('that is not answered in time is UNCERTAIN, and ends the link', async () => {
    const out = publisher();
    out.attach(silentLink());
    const said = say(out, 'x');
    await pass(5_100);
    expect(said.now).toBe('UNCERTAIN');
    expect(failed).toHaveBeenCalledTimes(1);
  });

  it('is given the time of the broker from when it was sent, not from when it began to wait', async () => {
    const out = publisher();
    const said = say(out, 'x');
    await pass(1_900);
    out.attach(silentLink());
    await pass(4_900);
    expect(said.now).toBe('waiting');
  });

  it('that was under way when the link broke is UNCERTAIN at once, and is not sent again', async () => {
    const out = publisher();
    const dead = silentLink();
    out.attach(dead);
    const said = say(out, 'x');
    out.detach();
    await pass(0);
    expect(said.now).toBe('UNCERTAIN');
    const next = new ScriptedLink();
    out.attach(next);
    dead.of('publish')[0]!.answer();
    await pass(0);
    expect(next.published).toEqual([]);
  });

  it('leaves no timer behind when nothing waits', async () => {
    const out = publisher();
    out.attach(new ScriptedLink());
    say(out, 'x');
    await pass(200);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a broker that takes no messages', () => {
  it('gets none until it takes them again, in order', async () => {
    const out = publisher();
    const link = new ScriptedLink();
    out.attach(link);
    out.block(true);
    const [first, second] = [say(out, '1'), say(out, '2')];
    await pass(1_000);
    expect(link.published).toEqual([]);
    out.block(false);
    await pass(0);
    expect(link.published).toEqual(['1', '2']);
    expect([first.now, second.now]).toEqual(['sent', 'sent']);
  });

  it('is why a message was not sent', async () => {
    const out = publisher({ outboxSize: 1 });
    out.attach(new ScriptedLink());
    out.block(true);
    const [old, refused] = [say(out, '1'), say(out, '2')];
    await pass(2_100);
    expect(old.error?.message).toBe('the broker took no messages within 2000 ms: nothing was sent');
    expect(refused.error?.message).toBe('the broker takes no messages now, and 1 messages are waiting already');
  });

  it('keeps its link, though what is under way is not answered', async () => {
    const out = publisher();
    out.attach(silentLink());
    const said = say(out, 'x');
    out.block(true);
    await pass(5_100);
    expect(said.now).toBe('UNCERTAIN');
    expect(failed).not.toHaveBeenCalled();
  });

  it('has nothing to say about the next link', async () => {
    const out = publisher();
    out.attach(new ScriptedLink());
    out.block(true);
    out.detach();
    const next = new ScriptedLink();
    out.attach(next);
    say(out, 'x');
    expect(next.published).toEqual(['x']);
  });
});

describe('appending to a log', () => {
  const options = { id: 'm', size: 1, ttl: 1_000 };

  function append(out: Publisher, text: string) {
    const said: { now: string; pos?: string } = { now: 'waiting' };
    out.append('a', Buffer.from(text), options).then(
      (pos) => Object.assign(said, { now: 'stored', pos }),
      (error: BroadcastError) => (said.now = error.code ?? error.message),
    );
    return said;
  }

  function link(...silent: ScriptedCall['method'][]): ScriptedLink {
    const made = new ScriptedLink();
    for (const method of silent) made.silent.add(method);
    return made;
  }

  const appended = (on: ScriptedLink) => on.of('append').map(({ payload }) => payload);

  it('is sent again on the next link, in order, and before what was said later', async () => {
    const out = publisher({ outboxSize: 9 });
    out.attach(link('append'));
    const said = ['1', '2', '3'].map((text) => append(out, text));
    out.detach();
    said.push(append(out, '4'));
    await pass(0);
    expect(said.map(({ now }) => now)).toEqual(['waiting', 'waiting', 'waiting', 'waiting']);
    const next = link();
    out.attach(next);
    said.push(append(out, '5'));
    await pass(0);
    expect(appended(next)).toEqual(['1', '2', '3', '4', '5']);
    expect(said.every(({ now }) => now === 'stored')).toBe(true);
  });

  it('keeps the order where the dying link refuses some before it is gone, and others not', async () => {
    const out = publisher({ outboxSize: 9 });
    const dying = link('append');
    out.attach(dying);
    for (const text of ['1', '2', '3', '4']) append(out, text);
    for (const index of [1, 2]) dying.of('append')[index]!.refuse(new Error('socket closed'));
    await pass(0);
    out.detach();
    const next = link();
    out.attach(next);
    await pass(0);
    expect(appended(next)).toEqual(['1', '2', '3', '4']);
  });

  it('is sent again on the same link when the broker has refused it for now', async () => {
    const out = publisher();
    const busy = link('append');
    out.attach(busy);
    const said = append(out, '1');
    busy.of('append')[0]!.refuse(new Error('BUSY'));
    await pass(150);
    expect(appended(busy)).toEqual(['1', '1']);
    busy.of('append')[1]!.answer();
    await pass(0);
    expect(said.now).toBe('stored');
  });

  it('is not overtaken, in its room, by what is said after the broker has refused it for now', async () => {
    const out = publisher({ outboxSize: 9 });
    const busy = link('append');
    out.attach(busy);
    const [first, second] = [append(out, '1'), append(out, '2')];
    for (const index of [0, 1]) busy.of('append')[index]!.refuse(new Error('BUSY'));
    await pass(0);
    const third = append(out, '3');
    out.append('b', Buffer.from('elsewhere'), options).catch(() => undefined);
    await pass(150);
    // The first of those that were refused shows whether the broker takes them again.
    expect(appended(busy)).toEqual(['1', '2', 'elsewhere', '1']);
    busy.of('append')[3]!.refuse(new Error('BUSY'));
    await pass(150);
    expect(appended(busy).slice(4)).toEqual(['1']);
    busy.of('append')[4]!.answer();
    await pass(0);
    expect(appended(busy).slice(5)).toEqual(['2']);
    busy.of('append')[5]!.answer();
    await pass(0);
    expect(appended(busy).slice(6)).toEqual(['3']);
    busy.of('append')[6]!.answer();
    append(out, '4');
    await pass(0);
    expect(appended(busy).slice(7)).toEqual(['4']);
    expect([first, second, third].map(({ now }) => now)).toEqual(['stored', 'stored', 'stored']);
  });

  it('waits no longer than others for what is refused before it, in no greater number, and then goes on', async () => {
    const out = publisher({ outboxSize: 2, appendTimeout: 5_000 });
    const busy = link('append');
    out.attach(busy);
    const first = append(out, '1');
    busy.of('append')[0]!.refuse(new Error('BUSY'));
    await pass(0);
    const [second, third] = [append(out, '2'), append(out, '3')];
    await pass(0);
    expect(third.now).toBe('UNAVAILABLE');
    await pass(2_100);
    expect([first.now, second.now]).toEqual(['waiting', 'UNAVAILABLE']);
    await pass(5_000);
    expect(first.now).not.toBe('waiting');
    out.detach();
    const next = link();
    out.attach(next);
    append(out, '4');
    await pass(0);
    expect(appended(next)).toEqual(['4']);
  });

  it.each(['before', 'after'])('is not refused by what the old link says late, %s there is a new one', async (when) => {
    const out = publisher();
    const [old, next] = [link('append'), link('append')];
    out.attach(old);
    const said = append(out, '1');
    out.detach();
    const late = () => old.of('append')[0]!.refuse(new BroadcastError('BAD_REQUEST', 'late'));
    if (when === 'before') late();
    await pass(0);
    out.attach(next);
    if (when === 'after') late();
    await pass(0);
    expect(said.now).toBe('waiting');
    expect(appended(next)).toEqual(['1']);
    next.of('append')[0]!.answer();
    await pass(0);
    expect(said.now).toBe('stored');
  });

  it('is stored when the first attempt is answered after all', async () => {
    const out = publisher();
    const old = link('append');
    out.attach(old);
    const said = append(out, '1');
    old.of('append')[0]!.answer();
    out.detach();
    await pass(0);
    const next = link();
    out.attach(next);
    await pass(0);
    expect([said.now, appended(next)]).toEqual(['stored', []]);
  });

  it('is UNCERTAIN when it was sent, and nothing has answered in time; UNAVAILABLE when it never was', async () => {
    const out = publisher({ appendTimeout: 3_000 });
    out.attach(link('append'));
    const sent = append(out, '1');
    out.detach();
    const unsent = append(out, '2');
    await pass(2_200);
    expect([sent.now, unsent.now]).toEqual(['waiting', 'UNAVAILABLE']);
    await pass(1_000);
    expect(sent.now).toBe('UNCERTAIN');
    const next = link();
    out.attach(next);
    expect(appended(next)).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('that is not answered ends the link, waits for the next, and is not asked to wait for longer than its deadline', async () => {
    const out = publisher({ appendTimeout: 7_000 });
    out.attach(link('append'));
    const said = append(out, '1');
    await pass(5_100);
    expect([said.now, failed.mock.calls.length > 0]).toEqual(['waiting', true]);
    out.detach();
    out.attach(link('append'));
    await pass(5_200);
    expect(said.now).toBe('UNCERTAIN');
  });

  it('is not sent again when it is a bad request', async () => {
    const out = publisher();
    const next = link('append');
    out.attach(next);
    const said = append(out, '1');
    next.of('append')[0]!.refuse(new BroadcastError('BAD_REQUEST', 'no history'));
    await pass(500);
    expect([said.now, appended(next)]).toEqual(['BAD_REQUEST', ['1']]);
  });

  it('waits while the broker takes no messages, and is UNCERTAIN when it was under way', async () => {
    const out = publisher();
    const blocked = link('append');
    out.attach(blocked);
    const under = append(out, '1');
    out.block(true);
    const waiting = append(out, '2');
    await pass(1_000);
    expect(appended(blocked)).toEqual(['1']);
    await pass(4_200);
    expect([under.now, waiting.now, failed.mock.calls.length]).toEqual(['UNCERTAIN', 'UNAVAILABLE', 0]);
  });

  it('counts its bytes until it is settled, however often it is sent', async () => {
    const out = publisher({ maxBytes: 10, appendTimeout: 1_000 });
    out.attach(link('append'));
    append(out, '12345678');
    out.detach();
    out.attach(link('append'));
    const refused = append(out, '901');
    await pass(0);
    expect(refused.now).toBe('OVERLOADED');
    out.detach();
    await pass(1_200);
    const after = append(out, '0123456789');
    await pass(0);
    expect(after.now).toBe('waiting');
  });

  it('is not sent again once the bus is closing', async () => {
    const out = publisher();
    const refusing = link('append');
    out.attach(refusing);
    const said = append(out, '1');
    const finished = jest.fn();
    void out.finish().then(finished);
    refusing.of('append')[0]!.refuse(new Error('socket closed'));
    await pass(10);
    expect([said.now, finished.mock.calls.length]).toEqual(['UNCERTAIN', 1]);
  });
});

describe('what the broker refuses in words', () => {
  const options = { id: 'm', size: 1, ttl: 1_000 };
  const full = new BrokerRefusal('it refuses: no memory', { reason: 'memory', passing: true });
  const forbidden = new BrokerRefusal('it refuses: no rights', { reason: 'rights', passing: false });

  function append(out: Publisher, text: string, room = 'a') {
    const said: { now: string } = { now: 'waiting' };
    out.append(room, Buffer.from(text), options).then(
      () => (said.now = 'stored'),
      ({ code, message }: BroadcastError) => (said.now = `${code} ${message}`),
    );
    return said;
  }

  function refusing(method: ScriptedCall['method'] = 'append'): ScriptedLink {
    const made = new ScriptedLink();
    made.silent.add(method);
    return made;
  }

  /** Whatever is asked of the link from now on. */
  async function refuseAll(link: ScriptedLink, error: Error, ms: number): Promise<void> {
    let answered = 0;
    for (let passed = 0; passed < ms; passed += 50) {
      for (const call of link.of('append').slice(answered)) call.refuse(error);
      answered = link.of('append').length;
      await pass(50);
    }
  }

  it('is refused at once where it is for good, and the next is asked for', async () => {
    const [failures, refused] = [new Failures(), jest.fn()];
    const out = publisher({ failures, refused });
    const link = refusing();
    out.attach(link);
    const [said, next] = [append(out, '1'), append(out, '2')];
    link.of('append')[0]!.refuse(forbidden);
    link.of('append')[1]!.answer();
    await pass(0);
    expect([said.now, next.now]).toEqual(['UNAVAILABLE it refuses: no rights', 'stored']);
    expect([failures.counts.rights, refused.mock.calls]).toEqual([1, [[forbidden]]]);
  });

  it('is tried again for as long as it would wait for a link, in order, and then refused with these words', async () => {
    const failures = new Failures();
    const out = publisher({ failures, outboxSize: 9 });
    const link = refusing();
    out.attach(link);
    const first = append(out, '1');
    link.of('append')[0]!.refuse(full);
    await pass(0);
    const second = append(out, '2');
    await refuseAll(link, full, 1_500);
    expect([first.now, second.now]).toEqual(['waiting', 'waiting']);
    await refuseAll(link, full, 800);
    expect([first.now, second.now]).toEqual(Array(2).fill('UNAVAILABLE it refuses: no memory'));
    expect(failures.counts).toMatchObject({ memory: 2, uncertain: 0, unavailable: 0 });
    expect(link.of('append').every(({ payload }) => payload === '1')).toBe(true);
  });

  it('is stored where the broker takes it within that time', async () => {
    const out = publisher({ outboxSize: 9 });
    const link = refusing();
    out.attach(link);
    const said = ['1', '2', '3'].map((text) => append(out, text));
    for (const call of link.of('append')) call.refuse(full);
    await refuseAll(link, full, 500);
    link.silent.delete('append');
    for (const call of link.of('append')) call.answer();
    await pass(300);
    expect(said.map(({ now }) => now)).toEqual(['stored', 'stored', 'stored']);
    expect(
      link
        .of('append')
        .map(({ payload }) => payload)
        .slice(-2),
    ).toEqual(['2', '3']);
  });

  it('may have arrived where an attempt before had no answer', async () => {
    const out = publisher();
    out.attach(refusing());
    const said = append(out, '1');
    out.detach();
    const next = refusing();
    out.attach(next);
    next.of('append')[0]!.refuse(forbidden);
    await pass(0);
    expect(said.now).toMatch(/^UNCERTAIN .* it may have arrived, and since then it refuses: no rights$/);
  });

  it('is told of a live room too', async () => {
    const out = publisher();
    const link = refusing('publish');
    out.attach(link);
    const said = say(out, '1');
    link.of('publish')[0]!.refuse(forbidden);
    await pass(0);
    expect([said.now, said.error?.message]).toEqual(['UNAVAILABLE', 'it refuses: no rights']);
  });

  it('is known for a minute, or until it takes something into a history again', async () => {
    const failures = new Failures();
    const out = publisher({ failures, refused: (refusal) => failures.refused(refusal) });
    const link = refusing();
    out.attach(link);
    for (const index of [0, 1]) {
      append(out, '1');
      link.of('append')[index]!.refuse(forbidden);
    }
    await pass(59_000);
    expect(failures.refusal).toBe(forbidden);
    await pass(2_000);
    expect(failures.refusal).toBeUndefined();
    append(out, '2');
    link.of('append')[2]!.refuse(forbidden);
    await pass(0);
    expect(failures.refusal).toBe(forbidden);
    append(out, '3');
    link.of('append')[3]!.answer();
    await pass(0);
    expect(failures.refusal).toBeUndefined();
  });
});

describe('the end of publishing', () => {
  it('waits for what is under way, and takes nothing more', async () => {
    const out = publisher();
    const link = silentLink();
    out.attach(link);
    const under = say(out, '1');
    const finished = jest.fn();
    void out.finish().then(finished);
    const late = say(out, '2');
    await pass(1_000);
    expect([late.now, finished.mock.calls.length]).toEqual(['CLOSED', 0]);
    link.of('publish')[0]!.answer();
    await pass(10);
    expect([under.now, finished.mock.calls.length]).toEqual(['sent', 1]);
  });

  it('is bounded by the deadlines', async () => {
    const out = publisher();
    out.attach(silentLink());
    say(out, 'x');
    const finished = jest.fn();
    void out.finish().then(finished);
    await pass(5_200);
    expect(finished).toHaveBeenCalled();
  });

  it('refuses what still waits, and leaves no timer behind', async () => {
    const out = publisher();
    const waiting = say(out, '1');
    out.close();
    await pass(0);
    expect(waiting.now).toBe('CLOSED');
    expect(jest.getTimerCount()).toBe(0);
  });
});
