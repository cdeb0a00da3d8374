/*
 * What servers tell and ask each other about a topic of the application's own.
 */
import type { Exchange, ExchangeListener } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { transports } from '../transports.js';
import { Stage, type Instance } from './stage.js';

describe.each(transports)('three servers over %s with a topic', (_name, prepare) => {
  const stage = new Stage(prepare);
  let a: Instance, b: Instance, c: Instance;

  beforeEach(async () => {
    [a, b, c] = await stage.three({ adapter: { heartbeatInterval: 300, heartbeatTimeout: 900 } });
  });

  function open({ adapter }: Instance, listener: ExchangeListener = {}): Exchange {
    const exchange = adapter.exchange('topic', listener);
    stage.after(() => exchange.close());
    return exchange;
  }

  it('tell it to all others, in order, and not to themselves', async () => {
    const heard: unknown[] = [];
    const own = open(a, { told: (value) => heard.push(['own', value]) });
    open(b, { told: (value, from) => heard.push([from.split('/')[0], value]) });
    for (let i = 0; i < 20; i++) await own.tell({ i });
    await until('all has arrived', () => heard.length === 20);
    expect(heard).toEqual(Array.from({ length: 20 }, (_, i) => [a.bus.instance, { i }]));
  });

  it('know who answers what, who has no such topic, and who is missing', async () => {
    const own = open(a);
    open(b, { asked: async (value) => [value, 'from b'] });
    const [idOfB, idOfC] = [b, c].map(({ adapter }) => adapter.servers()[0]!.id) as [string, string];
    expect(await own.ask('what?', { timeout: 5_000 })).toEqual({
      answers: new Map<string, unknown>([[idOfB, ['what?', 'from b']]]),
      missing: [],
    });
    open(c, { asked: () => new Promise(() => undefined) });
    const { answers, missing } = await own.ask('what?', { timeout: 300 });
    expect([[...answers.keys()], missing]).toEqual([[idOfB], [idOfC]]);
    expect((await own.ask('you?', { timeout: 5_000, server: idOfB })).answers.get(idOfB)).toEqual(['you?', 'from b']);
  });

  it('hear who comes and goes, until they close it', async () => {
    const heard: string[] = [];
    const own = open(a, {
      joined: (server) => heard.push(`joined ${server}`),
      left: (server, how) => heard.push(`left ${server} ${how}`),
    });
    const fresh = await stage.instance();
    const { id } = fresh.adapter.servers()[0]!;
    await until('it has joined', () => heard.includes(`joined ${id}`));
    await fresh.server.close();
    await until('it has left', () => heard.includes(`left ${id} closed`));
    own.close();
    await b.server.close();
    await until('it is gone', () => own.others.length === 1);
    expect(heard.length).toBe(2);
  });
});
