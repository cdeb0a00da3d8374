/*
 * What every transport has to keep of what outlives the instances.
 */
import type { Bus } from '../bus.js';
import type { Features } from '../transport.js';
import { until } from './conditions.js';
import { codeOfRejection, type Stage } from './stage.js';

const LATER = Date.now() + 3_600_000;

/** Registers the cases, inside a `describe`. */
export function records(stage: Stage, { network, log }: Features): void {
  const put = (bus: Bus, key: string, version: string, text: string, until = LATER) =>
    bus.records.put({ key, version, payload: Buffer.from(text), until });
  const all = async (bus: Bus) =>
    Object.fromEntries(
      (await bus.records.all()).map(({ key, version, payload }) => [key, `${version} ${payload.toString()}`]),
    );

  it('keeps records, the newest of each key, for every instance and those that come after them', async () => {
    const [one, other] = await Promise.all([stage.bus(), stage.bus()]);
    expect(await all(one)).toEqual({});
    await put(one, 'a', '1', 'first');
    await put(other, 'b:*#{}%\u00e9', '1', 'second');
    await put(other, 'a', '2', 'newer');
    await put(one, 'a', '1.5', 'too late');
    const expected = { a: '2 newer', 'b:*#{}%\u00e9': '1 second' };
    for (const bus of [one, other]) expect(await all(bus)).toEqual(expected);
    await Promise.all([one.close(), other.close()]);
    // Where the broker is this process, somebody has to hold it.
    expect(await all(await stage.bus())).toEqual(expected);
  });

  it('forgets records whose time is over', async () => {
    const bus = await stage.bus();
    await put(bus, 'a', '1', 'over', Date.now() - 1);
    await put(bus, 'b', '1', 'kept');
    expect(Object.keys(await all(bus))).toEqual(['b']);
    await put(bus, 'a', '2', 'again');
    expect(Object.keys(await all(bus)).sort()).toEqual(['a', 'b']);
  });

  it('takes many records at once, of any bytes', async () => {
    const bus = await stage.bus();
    const payload = Buffer.from([0, 1, 2, 255, 254]);
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => bus.records.put({ key, version: '1', payload, until: LATER })));
    const found = await bus.records.all();
    expect(found.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(found.every((record) => record.payload.equals(payload) && record.until === LATER)).toBe(true);
  });

  it('believes no record that is not signed, where there is a secret', async () => {
    const [stranger, bus] = await Promise.all([stage.bus(), stage.bus({ secret: 'the secret of the instances' })]);
    await put(stranger, 'a', '9', 'forged');
    await put(bus, 'b', '1', 'signed');
    expect(await all(bus)).toEqual({ b: '1 signed' });
    expect(bus.counts.untrusted).toBe(1);
  });

  it('believes records when a secret has been exchanged for another', async () => {
    const [before, after] = ['the secret of the instances', 'their secret from now on'];
    await put(await stage.bus({ secret: before }), 'a', '1', 'signed');
    expect(await all(await stage.bus({ secret: [after, before] }))).toEqual({ a: '1 signed' });
    expect(await all(await stage.bus({ secret: after }))).toEqual({ a: '1 signed' });
  });

  it('refuses a record without a key, and one without a link', async () => {
    const bus = await stage.bus();
    expect(await codeOfRejection(put(bus, '', '1', 'x'))).toBe('BAD_REQUEST');
    expect(await codeOfRejection(put(bus, 'x'.repeat(513), '1', 'x'))).toBe('BAD_REQUEST');
    await bus.close();
    expect(await codeOfRejection(put(bus, 'a', '1', 'x'))).toBe('UNAVAILABLE');
  });

  if (!network) return;

  it('keeps records when the broker is killed', async () => {
    const { transport, broker } = await stage.set.mortal!(stage.prefix);
    const bus = await stage.bus({ on: transport });
    await put(bus, 'a', '1', 'kept');
    // RabbitMQ 3.10.8 writes the name of a stream down after 5 s: killed before that, it starts without it.
    if (log === 'shared') await new Promise((resolve) => setTimeout(resolve, 6_000));
    await broker.kill();
    await until('it is noticed', () => bus.state === 'down');
    await broker.start();
    await until('the link is back', () => bus.state === 'up', 60_000);
    // A broker that has just started may not have them at once, and says so.
    const codes = new Set<string>();
    const there = async () => codes.add(await codeOfRejection(all(bus))).has('resolved');
    await until('they are there', there);
    expect(['resolved', 'UNAVAILABLE']).toEqual(expect.arrayContaining([...codes]));
    expect(await all(bus)).toEqual({ a: '1 kept' });
    await put(bus, 'a', '2', 'newer');
    expect(await all(bus)).toEqual({ a: '2 newer' });
  }, 120_000);
}
