/*
 * Clients that stop reading, rooms of thousands, bursts: nobody else notices, and what waits is bounded.
 */
import { Rooms } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { transports } from '../transports.js';
import { acquainted, Stage, type Instance } from './stage.js';
import type { Wire } from './wire.js';

const LIMIT = 100_000;
const profiles = {
  chat: { slow: 'disconnect' },
  news: { slow: 'drop-oldest' },
  state: { slow: 'latest' },
} as const;

describe.each(transports)('a client that stops reading, over %s', (_name, prepare) => {
  const stage = new Stage(prepare);
  let here: Instance;
  let there: Instance;

  beforeEach(async () => {
    const options = { bus: { profiles }, adapter: { fast: true, slowClientBytes: LIMIT } };
    [here, there] = [await stage.instance(options), await stage.instance(options)];
    await acquainted([here, there]);
  });

  /** One that reads and one that does not, in the room. */
  async function enter(room: string): Promise<[slow: Wire, quick: Wire]> {
    const wires: [Wire, Wire] = [await stage.wire(here.url), await stage.wire(here.url)];
    await Promise.all([...here.server.of('/').sockets.values()].map(async (socket) => socket.join(room)));
    wires[0].pause();
    return wires;
  }

  /** Fills the buffers of the kernel first, until bytes wait in this process. */
  async function speak(quick: Wire, room: string, enough: () => boolean): Promise<number> {
    const text = 'x'.repeat(20_000);
    let n = 0;
    while (!enough()) {
      for (let i = 0; i < 5; i++) there.server.to(room).emit('n', n++, text);
      const last = n - 1;
      await until('the other has it', () => quick.hasLately(`["n",${last},`));
    }
    return n;
  }

  const waiting = () => Math.max(...[...here.server.of('/').sockets.values()].map(unsentOf));

  it('is disconnected once more waits for it than may, by default', async () => {
    const [slow, quick] = await enter('chat:1');
    await speak(quick, 'chat:1', () => here.adapter.deliveries.slowBytes === 1);
    await until('it is gone', () => here.server.of('/').sockets.size === 1);
    slow.resume();
    await until('it notices', slow.isClosed);
    expect(quick.isClosed()).toBe(false);
    expect(here.adapter.deliveries).toMatchObject({ slowBytes: 1, slowAge: 0, slowDropped: 0, slowSuperseded: 0 });
  });

  it('misses the oldest where the room says so, and is told how many when it reads on', async () => {
    const [slow, quick] = await enter('news');
    const said = await speak(quick, 'news', () => here.adapter.deliveries.slowDropped > 20);
    expect(waiting()).toBeLessThan(20 * LIMIT);
    const missed = here.adapter.deliveries.slowDropped;
    slow.resume();
    await until('it has the last', () => slow.hasLately(`["n",${said - 1},`));
    const gap = /\["room:gap",\{"room":"news","reason":"slow","dropped":(\d+)\}\]/g;
    const gaps = [...slow.bytes().toString('latin1').matchAll(gap)].map(([, dropped]) => Number(dropped));
    expect(gaps.reduce((sum, each) => sum + each, 0)).toBe(missed);
    const heard = eventsOf(slow);
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b));
    expect(heard).toHaveLength(said - missed);
    expect(here.adapter.deliveries).toMatchObject({ slowBytes: 0, slowDropped: missed });
  });

  it('gets the last of each key where the room says so', async () => {
    const [slow, quick] = await enter('state');
    const rooms = new Rooms(there.bus);
    const text = 'x'.repeat(20_000);
    let n = 0;
    while (here.adapter.deliveries.slowSuperseded < 20) {
      for (const key of ['a', 'b']) await rooms.publish({ room: 'state', event: 'n', data: [n++, key, text], key });
      await until('the other has it', () => quick.hasLately(`["n",[${n - 1},`));
    }
    slow.resume();
    await until('it has the last', () => slow.hasLately(`["n",[${n - 1},"b"`));
    expect(slow.bytes().includes(`["n",[${n - 2},"a"`)).toBe(true);
    expect(here.adapter.deliveries).toMatchObject({ slowBytes: 0, slowDropped: 0 });
  });

  it('is disconnected over what is said to it alone, too', async () => {
    const [, quick] = await enter('chat:1');
    there.server.to('chat:1').emit('n', 0, '');
    await until('all have it', () => eventsOf(quick).at(-1) === 0);
    const text = 'x'.repeat(20_000);
    while (here.adapter.deliveries.slowBytes === 0) {
      for (const socket of here.server.of('/').sockets.values()) socket.emit('alone', text);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until('it is gone', () => here.server.of('/').sockets.size === 1);
    expect(quick.isClosed()).toBe(false);
  });
});

describe.each(transports)('a client that takes nothing, over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  it('is disconnected when that lasts', async () => {
    const adapter = { fast: true, slowClientBytes: 1e9, slowClientAge: 200 };
    const { server, url, adapter: ours } = await stage.instance({ adapter });
    const line = await stage.wire(url);
    line.pause();
    const text = 'x'.repeat(100_000);
    await until('it is gone', () => {
      if (server.of('/').sockets.size > 0) server.emit('n', text);
      return server.of('/').sockets.size === 0;
    });
    expect(ours.deliveries).toMatchObject({ slowAge: 1, slowBytes: 0 });
  });
});

describe.each(transports)('a burst over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  it('to a large room lets the small rooms, and everything else, have their turns', async () => {
    const [here, there] = [await stage.instance({ adapter: { fast: true } }), await stage.instance()];
    await acquainted([here, there]);
    const large = await Promise.all(Array.from({ length: 300 }, () => stage.wire(here.url)));
    await Promise.all([...here.server.of('/').sockets.values()].map(async (socket) => socket.join('large')));
    const small = await stage.wire(here.url);
    const last = [...here.server.of('/').sockets.values()].at(-1)!;
    await last.join('small');
    for (let n = 0; n < 2_000; n++) {
      there.server.to('large').emit('n', n, '');
      if (n === 1_000) there.server.to('small').emit('n', 0, '');
      if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('the small room has its own', () => eventsOf(small).length === 1);
    await until('the large room has all', () => large.every((each) => each.bytes().includes('["n",1999,')));
    const inOrder = Array.from({ length: 2_000 }, (_, n) => n);
    for (const each of [large[0]!, large[150]!, large[299]!]) expect(eventsOf(each)).toEqual(inOrder);
    const { delivered, writes } = here.adapter.deliveries;
    expect(delivered).toBeGreaterThanOrEqual(600_000);
    expect(writes).toBeLessThan(delivered / 4);
  }, 60_000);
});

/** Numbers of the events that it has received. */
function eventsOf(line: Wire): number[] {
  return [
    ...line
      .bytes()
      .toString('latin1')
      .matchAll(/\["n",(\d+),/g),
  ].map(([, n]) => Number(n));
}

function unsentOf({ conn }: { conn: unknown }): number {
  return (conn as { transport: { socket: { bufferedAmount: number } } }).transport.socket.bufferedAmount;
}
