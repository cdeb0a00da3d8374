/*
 * Who is there, as the servers on a bus know it: they greet and say goodbye, they die without a word, they freeze and
 * thaw, they are started again under the same name. What is asked meanwhile ends early, and says what it lacks.
 */
import {
  createAdapter,
  createEmitter,
  Rooms,
  type AdapterOptions,
  type BroadcastAdapter,
  type Bus,
  type Incomplete,
} from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { networks, transports } from '../transports.js';
import { acquainted, done, eventsOf, settle, Stage, type Instance, type InstanceOptions } from './stage.js';

/** Nothing ends in time because of one of these: what ends has another reason. */
const UNHURRIED: AdapterOptions = { heartbeatInterval: 60_000, heartbeatTimeout: 120_000, requestsTimeout: 60_000 };
/** Who is silent is forgotten after a second, and no question runs out before that. */
const WATCHFUL: AdapterOptions = { heartbeatInterval: 250, heartbeatTimeout: 1_000, requestsTimeout: 60_000 };
const MINUTE = 60_000;

type AdapterFactory = ReturnType<typeof createAdapter>;

const idOf = ({ adapter }: Instance) => adapter.servers()[0]!.id;
const counts = (instances: readonly Instance[]) => Promise.all(instances.map(({ adapter }) => adapter.serverCount()));

/** Ends its bus as the death of its process would: without a goodbye. */
function kill({ bus }: Instance): Promise<void> {
  bus.removeAllListeners('closing');
  return bus.close();
}

/** What an adapter has complained about. */
function complaints({ adapter }: Instance): Incomplete[] {
  const incomplete: Incomplete[] = [];
  adapter.on('incomplete', (each: Incomplete) => incomplete.push(each));
  return incomplete;
}

/** Ids of the sockets that are found from there, sorted. */
async function found({ server }: Instance): Promise<string[]> {
  return (await server.fetchSockets()).map(({ id }) => id).sort();
}

/** One more server in this process. */
async function listening(bus: Bus, adapter: AdapterFactory): Promise<Instance> {
  const http = createServer();
  const server = new Server(http, { adapter: adapter as never });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  return { bus, server, http, url, adapter: server.of('/').adapter as BroadcastAdapter, errors: [], published: [] };
}

describe.each(transports)('servers over %s', (name, prepare) => {
  const stage = new Stage(prepare);
  const gated = networks.find(([network]) => network === name)?.[2];

  /** Three that know each other; the last can be taken away without a goodbye, as the broker sees it. */
  async function withMortal(options: InstanceOptions) {
    const way = await gated?.(stage.prefix);
    if (way) stage.after(() => way.gate.close());
    const instances = await Promise.all([
      stage.instance(options),
      stage.instance(options),
      stage.instance({ ...options, ...(way && { transport: way.transport }) }),
    ]);
    await acquainted(instances);
    const die = async () => (way ? way.gate.refuse() : kill(instances[2]));
    return { instances, die };
  }

  it('know each other by id, role, version and start', async () => {
    const instances = [
      await stage.instance({ adapter: { ...UNHURRIED, role: 'gateway' } }),
      await stage.instance({ adapter: { ...UNHURRIED, role: 'admin' } }),
      await stage.instance({ adapter: UNHURRIED }),
    ];
    await acquainted(instances);
    const selves = instances.map(({ adapter }) => adapter.servers()[0]!);
    for (const [i, { bus, adapter }] of instances.entries()) {
      const [self, ...others] = adapter.servers();
      expect(self).toEqual({
        id: expect.stringMatching(new RegExp(`^${bus.instance}/\\w+$`)),
        role: ['gateway', 'admin', 'server'][i],
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        startedAt: bus.startedAt,
      });
      const ids = others.map(({ id }) => id).sort();
      expect(ids).toEqual(
        [0, 1, 2]
          .filter((other) => other !== i)
          .map((other) => selves[other]!.id)
          .sort(),
      );
      for (const other of others) expect(selves).toContainEqual(other);
    }
  });

  it('are counted no more as soon as they are closed, and nobody is told of a loss', async () => {
    const instances = await stage.three({ adapter: UNHURRIED });
    const [a, b, c] = instances;
    const incomplete = complaints(a);
    c.server.on('ask', () => undefined);
    b.server.on('ask', (answer: (value: string) => void) => answer('b'));
    const asking = a.server.serverSideEmitWithAck('ask');
    await until('c is asked', () => c.bus.counts.received > 0 && a.adapter.requests.size === 1);
    await c.server.close();
    await acquainted([a, b]);
    expect(await asking).toEqual(['b']);
    expect(await a.server.fetchSockets()).toEqual([]);
    expect([incomplete, a.errors]).toEqual([[], []]);
  });

  it.each([
    ['by two calls', (make: () => AdapterFactory) => [make(), make()]],
    ['by one call', (make: () => AdapterFactory) => Array<AdapterFactory>(2).fill(make())],
  ])('may be two in one process, on one bus, made %s, and each counts', async (_how, factories) => {
    const bus = await stage.bus();
    const a = await stage.instance({ adapter: UNHURRIED });
    const two = factories(() => createAdapter(bus, UNHURRIED)).map((factory) => listening(bus, factory));
    const instances = [a, ...(await Promise.all(two))];
    const last = instances[2]!;
    stage.after(() => Promise.all(instances.map(({ server }) => server.close())));
    await acquainted(instances);
    const visitors = await stage.visits(instances);
    for (const { socket } of visitors) await socket.join('r');
    for (const [i, each] of instances.entries()) {
      each.server.emit(`all from ${i}`);
      each.server.to('r').emit(`room from ${i}`);
      each.server.to(visitors[0]!.socket.id).to(visitors[2]!.socket.id).emit(`private from ${i}`);
      expect(await found(each)).toEqual(visitors.map(({ socket }) => socket.id).sort());
      expect(await each.adapter.countSockets('r')).toBe(3);
    }
    await settle(instances, visitors);
    const [all, room, only] = ['all', 'room', 'private'].map((what) => [0, 1, 2].map((i) => `${what} from ${i}`));
    expect(eventsOf(visitors)).toEqual([
      [...all!, ...only!, ...room!],
      [...all!, ...room!],
      [...all!, ...only!, ...room!],
    ]);
    await last.server.close();
    await acquainted(instances.slice(0, 2));
  });

  it('are members as a whole: namespaces come and go without being counted', async () => {
    const instances = await stage.three({ adapter: UNHURRIED });
    const [a, b] = instances;
    const incomplete = complaints(a);
    const other = a.server.of('/x').adapter as BroadcastAdapter;
    b.server.of('/y');
    expect(await other.serverCount()).toBe(3);
    // Two of them do not have it, and say so: no question waits for them.
    expect(await a.server.of('/x').fetchSockets()).toEqual([]);
    expect(await a.server.of('/x').timeout(MINUTE).emitWithAck('anybody?')).toEqual([]);
    expect(await counts(instances)).toEqual([3, 3, 3]);
    other.close();
    const visitors = await stage.visits(instances);
    await settle(instances, visitors);
    expect(await counts(instances)).toEqual([3, 3, 3]);
    expect(incomplete).toEqual([]);
  });

  it('never count processes that only emit, and wait for none of them', async () => {
    const instances = await stage.three({ adapter: UNHURRIED });
    const visitors = await stage.visits(instances);
    const emitting = await stage.bus();
    await createEmitter(emitting).emit('from a worker');
    await new Rooms(emitting).publish({ room: 'r', event: 'unheard' });
    expect(await found(instances[0])).toHaveLength(3);
    await emitting.close();
    expect(await found(instances[0])).toHaveLength(3);
    await settle(instances, visitors);
    expect(await counts(instances)).toEqual([3, 3, 3]);
    expect(eventsOf(visitors)).toEqual([['from a worker'], ['from a worker'], ['from a worker']]);
  });

  describe('when one dies without a goodbye', () => {
    it('end at once what is open, with what there is, and name the dead one', async () => {
      const { instances, die } = await withMortal({ adapter: UNHURRIED });
      const [a, b, c] = instances;
      const visitors = await stage.visits(instances);
      const incomplete = complaints(a);
      const dead = idOf(c);
      for (const { client } of visitors.slice(0, 2))
        client.on('ask', (answer: (value: string) => void) => answer('yes'));
      let asked = 0;
      visitors[2].client.on('ask', () => asked++);
      b.server.on('ask', (answer: (value: string) => void) => answer('b'));
      c.server.on('ask', () => asked++);
      const asking = [a.server.timeout(MINUTE).emitWithAck('ask'), a.server.serverSideEmitWithAck('ask')] as const;
      // Both are open for long enough to have looked after c, and to have found it.
      const ping = `instance:${c.bus.instance}` as const;
      await until('c is asked, and looked after', () => asked === 2 && a.published.includes(ping));
      await die();
      expect(await Promise.all(asking)).toEqual([['yes', 'yes'], ['b']]);
      expect(await a.adapter.serverCount()).toBe(2);
      expect(incomplete.map(({ request }) => request).sort()).toEqual(['emitWithAck', 'serverSideEmit']);
      expect(incomplete.map(({ missing }) => missing)).toEqual([[dead], [dead]]);
      expect(a.errors.map(({ code, message }) => [code, message.includes(dead)])).toEqual([['TIMEOUT', true]]);
    });

    it('find out with the first question, and ask the dead one no more', async () => {
      const { instances, die } = await withMortal({ adapter: UNHURRIED });
      const [a, b, c] = instances;
      const visitors = await stage.visits(instances);
      const incomplete = complaints(a);
      const dead = idOf(c);
      await die();
      const here = visitors.slice(0, 2).map(({ socket }) => socket.id);
      expect(await found(a)).toEqual(here.sort());
      expect(incomplete).toEqual([{ request: 'fetchSockets', missing: [dead] }]);
      expect(await a.adapter.serverCount()).toBe(2);
      a.published.splice(0);
      b.server.on('ask', (answer: (value: string) => void) => answer('b'));
      visitors[1].client.on('ask', (answer: (value: string) => void) => answer('yes'));
      visitors[0].client.on('ask', (answer: (value: string) => void) => answer('yes'));
      expect(await found(a)).toEqual(here);
      expect(await a.server.serverSideEmitWithAck('ask')).toEqual(['b']);
      expect(await a.server.timeout(MINUTE).emitWithAck('ask')).toEqual(['yes', 'yes']);
      expect(a.published).not.toContain(`instance:${c.bus.instance}`);
      expect(incomplete).toHaveLength(1);
      expect(a.errors.map(({ code }) => code)).toEqual(['TIMEOUT']);
    });

    it('forget it in time though nobody asks', async () => {
      const { instances, die } = await withMortal({ adapter: WATCHFUL });
      await die();
      await acquainted(instances.slice(0, 2));
    });

    it('count the one that takes its place under the same name, once, and ask the old one no more', async () => {
      const options = { adapter: UNHURRIED, bus: { instance: 'gw-1' } };
      const [a, b] = await Promise.all([
        stage.instance({ adapter: UNHURRIED }),
        stage.instance({ adapter: UNHURRIED }),
      ]);
      const way = await gated?.(stage.prefix);
      if (way) stage.after(() => way.gate.close());
      const before = await stage.instance(way ? { ...options, transport: way.transport } : options);
      await acquainted([a, b, before]);
      // With a network the broker still takes the old one for alive: nothing but the new one's greeting says otherwise.
      if (way) way.gate.blackhole();
      else await kill(before);
      const after = await stage.instance(options);
      const instances = [a, b, after];
      await acquainted(instances);
      const incomplete = complaints(a);
      const visitors = await stage.visits(instances);
      expect(await found(a)).toEqual(visitors.map(({ socket }) => socket.id).sort());
      expect(await a.server.to('nobody').timeout(MINUTE).emitWithAck('ask')).toEqual([]);
      expect(a.adapter.servers().map(({ id }) => id)).not.toContain(idOf(before));
      expect(incomplete).toEqual([]);
    });
  });
});

describe.each(networks)('servers over %s, one of which is frozen', (_name, prepare, gated) => {
  const stage = new Stage(prepare);

  /** Three that know each other; the last can be made silent while its connections stay open. */
  async function withFrozen(adapter: AdapterOptions) {
    const { transport, gate } = await gated(stage.prefix);
    stage.after(() => gate.close());
    const instances = await Promise.all([
      stage.instance({ adapter }),
      stage.instance({ adapter }),
      stage.instance({ adapter, transport }),
    ]);
    await acquainted(instances);
    const visitors = await stage.visits(instances);
    gate.blackhole();
    return { instances, visitors, gate };
  }

  it('wait for it as long as they are told to, and resolve with what there is', async () => {
    const { instances, visitors } = await withFrozen({ ...UNHURRIED, requestsTimeout: 500 });
    const [a, b, c] = instances;
    const incomplete = complaints(a);
    const here = visitors.slice(0, 2).map(({ socket }) => socket.id);
    b.server.on('ask', (answer: (value: string) => void) => answer('b'));
    for (const { client } of visitors) client.on('ask', (answer: (value: string) => void) => answer('yes'));
    const [sockets, servers, acks, joined] = await Promise.all([
      found(a),
      a.server.serverSideEmitWithAck('ask').catch((error: Error & { responses: unknown[] }) => error),
      a.server
        .timeout(500)
        .emitWithAck('ask')
        .catch((error: Error & { responses: unknown[] }) => error),
      done(a.server.socketsJoin('r')),
    ]);
    expect(sockets).toEqual(here.sort());
    expect(servers).toMatchObject({ message: expect.stringMatching('timeout reached'), responses: ['b'] });
    expect(acks).toMatchObject({ message: 'operation has timed out', responses: ['yes', 'yes'] });
    expect(joined).toBeUndefined();
    const requests = incomplete.map(({ request }) => request).sort();
    expect(requests).toEqual(['fetchSockets', 'serverSideEmit', 'sockets.join']);
    for (const { missing } of incomplete) expect(missing).toEqual([idOf(c)]);
    expect(await a.adapter.countSockets('r')).toBe(2);
    expect(await counts([a, b])).toEqual([3, 3]);
  });

  it('reject instead, if they are strict', async () => {
    const { instances } = await withFrozen({ ...UNHURRIED, requestsTimeout: 300, strict: true });
    const [a, , c] = instances;
    const missing = { code: 'TIMEOUT', message: expect.stringContaining(idOf(c)) };
    await expect(a.server.fetchSockets()).rejects.toMatchObject(missing);
    await expect(a.adapter.allRooms()).rejects.toMatchObject(missing);
    await expect(a.adapter.roomStats()).rejects.toMatchObject(missing);
  });

  it('forget it after a while, which ends what is open; and know it again when it thaws, as it knows them', async () => {
    const { instances, visitors, gate } = await withFrozen(WATCHFUL);
    const [a, b] = instances;
    const incomplete = complaints(a);
    const [sockets, none] = await Promise.all([found(a), a.server.to('nobody').timeout(MINUTE).emitWithAck('ask')]);
    expect(sockets).toHaveLength(2);
    expect(none).toEqual([]);
    await acquainted([a, b]);
    const { length } = incomplete;
    expect(await found(a)).toHaveLength(2);
    expect(incomplete).toHaveLength(length);
    gate.pass();
    await acquainted(instances);
    const all = visitors.map(({ socket }) => socket.id).sort();
    expect(await Promise.all(instances.map(found))).toEqual([all, all, all]);
    expect(incomplete).toHaveLength(length);
  });
});
