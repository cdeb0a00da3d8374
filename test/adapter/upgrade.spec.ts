/*
 * Instances of two versions side by side, while one is replaced by the other: fixtures/previous.json holds the bytes
 * that the build before this one wrote (commit 10d97ed), every kind of them, recorded between two of its servers.
 */
import { decodeArgs, type Bus, type Channel, type Message } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transports } from '../transports.js';
import { acquainted, QUIET, settle, Stage, type Instance, type Visitor } from './stage.js';

interface Fixture {
  name: string;
  channel: Channel;
  payload: Buffer;
}

const previous = (
  JSON.parse(readFileSync(join(__dirname, 'fixtures/previous.json'), 'utf8')) as {
    name: string;
    channel: Channel;
    text?: string;
    base64?: string;
  }[]
).map(({ name, channel, text, base64 }): Fixture => {
  const payload = text === undefined ? Buffer.from(base64!, 'base64') : Buffer.from(text);
  return { name, channel, payload };
});

const fixtures = (name: string) => previous.filter((each) => each.name === name);
/** What Socket.IO might have drawn as the id of a socket. */
const ID_LIKE = 'abcdefghij0123456789';
const bytes = Buffer.from([1, 2, 3]);
/** What receivers learn about a message that is no plain emit. */
const meta = (room: string, from?: string) => ({
  room,
  id: expect.any(String) as string,
  at: expect.any(Number) as number,
  ...(from !== undefined && { from }),
});

/** Name, who hears it (those in r, in s, in both, and in r of /x), and what. */
const DELIVERED: [name: string, who: string, ...args: unknown[]][] = [
  ['emit to a room', 'a c', 'to a room', { x: 1 }, 'two'],
  ['emit to all', 'a b c', 'to all', 'ü'],
  ['emit to two rooms', 'a b c', 'to two rooms'],
  ['emit to many rooms', 'a b c', 'to many rooms'],
  ['emit to a socket', 'c', 'to a socket'],
  ['emit to a room but not another', 'a', 'but not to s'],
  ['emit with flags', 'a c', 'with flags'],
  ['emit of bytes to a room', 'a c', 'bytes to a room', bytes, { deep: [Buffer.from('x')] }],
  ['emit of bytes to all', 'a b c', 'bytes to all', bytes],
  ['emit to a room of a namespace', 'x', 'to a room of /x'],
  ['emit to a namespace', 'x', 'to all of /x'],
  ['message to a room', 'a c', 'message to a room', { n: 1 }, meta('r', 'u42')],
  ['message to two rooms', 'a c', 'message to two rooms', null, meta('r')],
  ['message to two rooms', 'b', 'message to two rooms', null, meta('s')],
  ['message to many rooms', 'a c', 'message to many rooms', null, meta('r')],
  ['message to many rooms', 'b', 'message to many rooms', null, meta('s')],
  ['message of bytes', 'a c', 'message of bytes', { bytes }, meta('r')],
  ['message in a namespace', 'x', 'message in /x', null, meta('r')],
];
const OF_NO_USE = previous.filter(({ name }) => !DELIVERED.some(([delivered]) => delivered === name));

describe.each(transports)('servers over %s', (_name, prepare) => {
  const stage = new Stage(prepare);
  let instances: [Instance, Instance];
  let visitors: Record<string, Visitor>;
  let other: Bus;

  beforeEach(async () => {
    // No probe and no heartbeat: what is counted comes from the case.
    const quiet = { bus: { probeInterval: 600_000 }, adapter: { ...QUIET.adapter, requestsTimeout: 60_000 } };
    instances = [await stage.instance(quiet), await stage.instance(quiet)];
    other = await stage.bus({ instance: 'previous', probeInterval: 600_000 });
    const [one, two] = instances;
    await acquainted(instances);
    two.server.of('/x');
    const options = { transports: ['websocket'] };
    visitors = {
      a: await stage.visit(one, '/', options),
      b: await stage.visit(two, '/', options),
      c: await stage.visit(two, '/', options),
      x: await stage.visit(one, '/x', options),
    };
    await visitors['a']!.socket.join('r');
    await visitors['b']!.socket.join('s');
    await visitors['c']!.socket.join(['r', 's', ID_LIKE]);
    await visitors['x']!.socket.join('r');
  });

  const inMain = () => ['a', 'b', 'c'].map((letter) => visitors[letter]!);

  /** Waits until whatever was on its way has arrived. */
  async function arrived(): Promise<void> {
    await other.publish('all', Buffer.from('{"v":1,"kind":"emit","raw":1,"args":["all have it"]}'));
    await other.publish('all', Buffer.from('{"v":1,"kind":"emit","raw":1,"nsp":"/x","args":["all have it"]}'));
    const last = ([event]: unknown[]) => event === 'all have it';
    const everyone = Object.values(visitors);
    await until('the last messages arrive', () => everyone.every(({ heard }) => heard.some(last)));
    await settle(instances, inMain());
    for (const { heard } of everyone) heard.splice(0, heard.length, ...heard.filter((each) => !last(each)));
  }

  /** What each visitor has heard since. */
  function heard(): Record<string, unknown[][]> {
    return Object.fromEntries(Object.entries(visitors).map(([letter, { heard }]) => [letter, heard.splice(0)]));
  }

  const everybodyIsThere = () => Object.values(visitors).every(({ client }) => client.connected);
  const sum = (count: 'ignored' | 'unreadable' | 'failed') =>
    instances.map(({ bus }) => bus.counts[count]).reduce((total, each) => total + each, 0);
  const broken = () => ({ unreadable: sum('unreadable'), failed: sum('failed') });

  it('deliver what those of the previous version say, as ever', async () => {
    const names = new Set(DELIVERED.map(([name]) => name));
    for (const name of names) {
      for (const { channel, payload } of fixtures(name)) await other.publish(channel, payload);
      await arrived();
      const expected: Record<string, unknown[][]> = { a: [], b: [], c: [], x: [] };
      for (const [, who, ...args] of DELIVERED.filter(([each]) => each === name))
        for (const letter of who.split(' ')) expected[letter]!.push(args);
      expect({ name, ...heard() }).toEqual({ name, ...expected });
    }
    expect([broken(), sum('ignored')]).toEqual([{ unreadable: 0, failed: 0 }, 0]);
  });

  it('ignore and count what only those of the previous version understand', async () => {
    const rooms = () => Object.values(visitors).map(({ socket }) => [...socket.rooms].sort());
    const before = rooms();
    expect(OF_NO_USE.map(({ name }) => name.replace(/:.*/, ''))).toEqual(
      expect.arrayContaining(['cluster', 'count', 'counted', 'event', 'who', 'here', 'request', 'reply']),
    );
    for (const { channel, payload } of OF_NO_USE) {
      const channels: Channel[] =
        channel === 'all' ? ['all'] : instances.map(({ bus }): Channel => `instance:${bus.instance}`);
      for (const each of channels) await other.publish(each, payload);
    }
    await until('all are ignored', () => sum('ignored') >= 2 * OF_NO_USE.length);
    await arrived();
    expect([broken(), sum('ignored')]).toEqual([{ unreadable: 0, failed: 0 }, 2 * OF_NO_USE.length]);
    expect(heard()).toEqual({ a: [], b: [], c: [], x: [] });
    expect([rooms(), everybodyIsThere()]).toEqual([before, true]);
    expect(await instances[0].adapter.serverCount()).toBe(2);
    expect(await instances[0].server.fetchSockets()).toHaveLength(3);
  });

  it('take what a later version says as far as they understand it, and ignore the rest', async () => {
    const ofALaterFormat = ['room:r', 'all'].map((channel): [Channel, string] => [
      channel as Channel,
      '{"v":2,"id":"01","kind":"emit","room":"r","raw":1,"args":["later"]}',
    ]);
    const ofNoKindYet: [Channel, string] = [
      'all',
      '{"v":1,"kind":"sockets.move","origin":"z/1","args":[["r"],"west"]}',
    ];
    for (const [channel, text] of [...ofALaterFormat, ofNoKindYet]) await other.publish(channel, Buffer.from(text));
    // Each of the two has heard the room, and everything to all.
    await until('all are ignored', () => sum('ignored') >= 6);
    const withMore: [Channel, string][] = [
      ['room:r', '{"v":1,"id":"01","room":"r","raw":1,"zone":"west","pos":5,"args":["more fields"]}'],
      ['room:r', '{"v":1,"id":"02","room":"r","raw":1,"flags":{"priority":9},"args":["more flags"]}'],
      ['all', '{"v":1,"id":"03","kind":"emit","raw":1,"rooms":["s"],"via":["z"],"args":["more ways"]}'],
    ];
    for (const [channel, text] of withMore) await other.publish(channel, Buffer.from(text));
    await arrived();
    const [fields, flags, ways] = [['more fields'], ['more flags'], ['more ways']];
    expect(heard()).toEqual({ a: [fields, flags], b: [ways], c: [fields, flags, ways], x: [] });
    expect([broken(), sum('ignored')]).toEqual([{ unreadable: 0, failed: 0 }, 6]);
    expect(everybodyIsThere()).toBe(true);
  });

  it('understand a later version that says more with the kinds that they know', async () => {
    const [one] = instances;
    const answers: Record<string, unknown[]> = {};
    other.control.on('sockets.answer', (message: Message) => {
      const [question, value] = decodeArgs(message) as [string, unknown];
      (answers[question] ??= []).push(value);
    });
    const say = (kind: string, args: unknown[], header = {}) =>
      other.control.send('all', { kind, origin: 'previous/z', ...header }, args);
    const member = { id: 'previous/z', role: 'server', version: '9.0.0', startedAt: 1, zone: 'west' };
    await say('member', [member, true, 'more']);
    await until('it is counted', async () => (await one.adapter.serverCount()) === 3);
    expect(one.adapter.servers().at(-1)).toEqual({ id: 'previous/z', role: 'server', version: '9.0.0', startedAt: 1 });

    await say('sockets.join', [['joined'], { until: 5 }], { rooms: ['s'] });
    await say('sockets.leave', [['s'], 'more'], { rooms: ['s'], except: ['r'] });
    await say('rooms.sizes', [['joined', 's'], 'more'], { id: 'sizes' });
    await say('rooms.list', ['more'], { id: 'list' });
    await say('sockets.fetch', ['more'], { id: 'fetch', rooms: ['joined'] });
    await say('sockets.settle', ['more'], { id: 'settle' });
    const questions = ['sizes', 'list', 'fetch', 'settle'];
    await until('all is answered', () => questions.every((question) => answers[question]?.length === 2));
    expect(answers['sizes']).toEqual(
      expect.arrayContaining([
        [0, 0],
        [2, 1],
      ]),
    );
    const [b, c] = [visitors['b']!, visitors['c']!];
    expect(answers['fetch']!.flat()).toEqual(
      [b, c].map(({ socket }) => expect.objectContaining({ id: socket.id }) as unknown),
    );

    // Its answers may say more, too.
    other.control.on('rooms.list', ({ header }) => {
      const to = { instance: header.origin!.split('/')[0]! };
      void other.control.send(to, { kind: 'sockets.answer', origin: 'previous/z' }, [
        header.id,
        ['far'],
        false,
        'more',
      ]);
    });
    expect([...(await one.adapter.allRooms())]).toEqual(expect.arrayContaining(['far', 'joined', 'r', 's']));
    await say('left', ['previous/z', 'for good']);
    await acquainted(instances);
    await arrived();
    expect([broken(), everybodyIsThere()]).toEqual([{ unreadable: 0, failed: 0 }, true]);
  });
});
