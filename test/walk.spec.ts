import { Bus } from '@app/broadcast';
import { encode, stamp } from '../libs/broadcast/src/envelope.js';
import { transports } from './transports.js';
import { until } from '@app/broadcast/testing';
describe.each(transports)('walk %s', (name, prepare) => {
  it('works', async () => {
    const make = prepare(`w${Date.now()}.`);
    const options = { history: { size: 50, ttl: 60_000 } };
    const [a, b] = [new Bus(make(), options), new Bus(make(), options)];
    for (const each of [a, b]) each.on('error', (e) => console.log(name, e.code, e.message, e.cause));
    await Promise.all([a.connect(), b.connect()]);
    const heard: string[][] = [[], []];
    const subs = [a, b].map((bus, i) => bus.logs.follow('r:1', (payload, pos) => heard[i]!.push(`${pos} ${payload.toString().slice(-20)}`)));
    await Promise.all(subs.map((s) => s.ready()));
    console.log(a.logs.markOf('r:1'), b.logs.markOf('r:1'));
    const first = b.logs.markOf('r:1')!;
    for (let i = 0; i < 5; i++) {
      const header = stamp(a.instance);
      const pos = await a.logs.append('r:1', encode({ ...header, room: 'r:1' }, ['chat', i]), header.id);
      const again = await b.logs.append('r:1', encode({ ...header, room: 'r:1' }, ['chat', i]), header.id);
      if (i === 0) console.log(pos, again);
      expect(again).toBe(pos);
    }
    await until('heard', () => heard.every((h) => h.length >= 5));
    expect(heard[0]).toEqual(heard[1]);
    expect(heard[0]!.length).toBe(5);
    const h = await a.logs.read('r:1', { limit: 3 });
    console.log(h.entries.map((e) => [e.pos, e.id]), h.complete);
    const missed = await b.logs.replay('r:1', first, (m) => m);
    expect([missed.recovered, missed.entries.length]).toEqual([true, 5]);
    const c = new Bus(make(), options);
    await c.connect();
    const late = c.logs.follow('r:1', () => undefined);
    await late.ready();
    const m2 = await c.logs.replay('r:1', first, (m) => m);
    expect([m2.recovered, m2.entries.length]).toEqual([true, 5]);
    const mid = h.entries[1]!;
    const m3 = await c.logs.replay('r:1', { pos: mid.pos, id: mid.id }, (m) => m);
    expect([m3.recovered, m3.entries.length]).toEqual([true, 1]);
    const m4 = await c.logs.replay('r:1', { pos: mid.pos, id: 'x' }, (m) => m);
    expect(m4.recovered).toBe(false);
    await Promise.all([a.close(), b.close(), c.close()]);
  });
});
