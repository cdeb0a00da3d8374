/*
 * Requests where something goes wrong: parts of an answer are lost, whoever asked is gone, an answer cannot be sent, and
 * thousands ask at once. Over each transport; what needs a network that fails, over those that have one.
 */
import {
  BROADCAST_TRANSPORT,
  BroadcastClient,
  BroadcastModule,
  BroadcastServer,
  Bus,
  type Transport,
} from '@app/broadcast/nest';
import { until } from '@app/broadcast/testing';
import { Controller, Logger, Module, type INestApplication } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { concat, finalize, interval, lastValueFrom, NEVER, of, take, type Observable } from 'rxjs';
import { decodeArgs } from '../../libs/broadcast/src/envelope.js';
import { networks, transports } from '../transports.js';

const MINUTE = 60_000;
const circular: Record<string, unknown> = {};
circular['itself'] = circular;
const counts = { begun: 0, ended: 0 };

@Controller()
class Handlers {
  @MessagePattern('echo', BROADCAST_TRANSPORT)
  echo(@Payload() data: unknown): unknown {
    return data;
  }

  @MessagePattern('ticks', BROADCAST_TRANSPORT)
  ticks(): Observable<number> {
    return this.#counted(interval(5));
  }

  @MessagePattern('silence', BROADCAST_TRANSPORT)
  silence(): Observable<never> {
    return this.#counted(NEVER);
  }

  @MessagePattern('hundred', BROADCAST_TRANSPORT)
  hundred(): Observable<number> {
    return this.#counted(interval(20).pipe(take(100)));
  }

  @MessagePattern('unsendable', BROADCAST_TRANSPORT)
  unsendable(@Payload() what: string): unknown {
    const wrong = { circular, bigint: 1n, large: 'x'.repeat(2_000_000) }[what];
    if (wrong !== undefined) return wrong;
    if (what === 'in a stream') return of<unknown[]>(1, circular, 3);
    if (what === 'first of a stream') return concat(of(circular), NEVER);
    throw new RpcException({ code: 'X', message: 'x', details: circular });
  }

  #counted<T>(stream: Observable<T>): Observable<T> {
    counts.begun++;
    return stream.pipe(finalize(() => counts.ended++));
  }
}

/** Of the applications of the case. */
const strategies: BroadcastServer[] = [];
const open: { close(): Promise<unknown> }[] = [];

async function start(
  transport: Transport,
  controllers: (new () => object)[],
  askerInterval = 300,
): Promise<INestApplication> {
  @Module({
    imports: [BroadcastModule.forRoot({ transport, startTimeout: 15_000, backoff: { max: 200 } })],
    controllers,
  })
  class Application {}
  const testing = await Test.createTestingModule({ imports: [Application] }).compile();
  const app = testing.createNestApplication({ logger: false });
  open.push(app);
  const bus = app.get(Bus);
  const strategy = new BroadcastServer(bus, { askerInterval });
  strategies.push(strategy);
  app.connectMicroservice({ strategy });
  await app.startAllMicroservices();
  return app.init();
}

async function startBus(transport: Transport, instance?: string): Promise<Bus> {
  const bus = new Bus(transport, { instance });
  open.push(bus);
  await bus.connect(15_000);
  return bus;
}

/** Another service: says that it answers `parts`, and answers with these packets. */
async function answering(transport: Transport, packets: object[], origin = 'other'): Promise<Bus> {
  const bus = await startBus(transport, origin);
  bus.control.on('who', ({ header, ...message }) => {
    const [question, subject] = decodeArgs(message);
    if (subject === 'parts') void bus.control.send({ instance: header.origin! }, { kind: 'here' }, [question]);
  });
  bus.control.on('request', ({ header, ...message }) => {
    const [request] = decodeArgs(message);
    for (const packet of packets) {
      void bus.control.send({ instance: header.origin! }, { kind: 'reply' }, [request, packet]);
    }
  });
  return bus;
}

/** All that was heard, and how it ended. */
async function whole(answer: Observable<unknown>): Promise<{ parts: unknown[]; code?: unknown; message?: unknown }> {
  const parts: unknown[] = [];
  return new Promise((resolve) =>
    answer.subscribe({
      next: (part) => parts.push(part),
      error: ({ code, message }: { code?: unknown; message?: unknown }) => resolve({ parts, code, message }),
      complete: () => resolve({ parts }),
    }),
  );
}

const newPrefix = () => `n${randomBytes(4).toString('hex')}.`;

beforeEach(() => Object.assign(counts, { begun: 0, ended: 0 }));
afterEach(async () => {
  jest.restoreAllMocks();
  strategies.splice(0);
  await Promise.all(open.splice(0).map((each) => each.close()));
});

describe.each(transports)('answers over %s', (_name, prepare) => {
  let transport: () => Transport;
  beforeEach(() => (transport = prepare(newPrefix())));

  const numbered = (...numbers: number[]) => numbers.map((n) => ({ n, response: n }));
  const last = (n: number) => ({ n, isDisposed: true });

  it.each<[string, object[], object]>([
    ['an error where a part is missing', [...numbered(1, 3), last(4)], { parts: [1], code: 'LINK_LOST' }],
    ['an error where the last is missing before the end', [...numbered(1), last(3)], { parts: [1], code: 'LINK_LOST' }],
    ['each part once', [...numbered(1, 1, 2, 1, 2, 3), last(4)], { parts: [1, 2, 3] }],
    ['parts without numbers', [{ response: 1 }, { response: 1, err: null }, { isDisposed: true }], { parts: [1, 1] }],
  ])('are heard as %s', async (_what, packets, expected) => {
    await answering(transport(), packets);
    const client = new BroadcastClient(await startBus(transport()));
    expect(await whole(client.send('parts', {}))).toEqual({
      ...expected,
      ...('code' in expected && { message: expect.stringContaining('lost') as string }),
    });
  });

  it('number their parts', async () => {
    await start(transport(), [Handlers]);
    const bus = await startBus(transport(), 'asker');
    const heard: unknown[] = [];
    bus.control.on('reply', (message) => heard.push(decodeArgs(message)[1]));
    bus.control.on('here', ({ header }) => {
      void bus.control.send({ instance: header.origin! }, { kind: 'request' }, ['r', 'hundred', {}]);
    });
    await bus.control.send('all', { kind: 'who' }, ['q', 'hundred']);
    await until('the answer ends', () => heard.length === 100);
    expect(heard).toEqual(
      Array.from({ length: 100 }, (_, i) => ({ n: i + 1, response: i, ...(i === 99 && { isDisposed: true }) })),
    );
  });

  it.each(['ticks', 'silence'])('end when whoever asked for %s is gone without a word', async (subject) => {
    await start(transport(), [Handlers]);
    const asker = await startBus(transport());
    for (let i = 0; i < 20; i++) new BroadcastClient(asker).send(subject, {}).subscribe({ error: () => undefined });
    await until('all streams run', () => counts.begun === 20);
    expect(counts.ended).toBe(0);
    await asker.close();
    await until('all streams are let go', () => counts.ended === 20);
  });

  it('end when another process by the name of the one that asked hears them', async () => {
    const app = await start(transport(), [Handlers]);
    const asker = await startBus(transport(), 'asker');
    new BroadcastClient(asker);
    const { instance } = app.get(Bus);
    await asker.control.send({ instance }, { kind: 'request' }, ['of another life', 'ticks', {}]);
    await until('the stream is let go', () => counts.begun === 1 && counts.ended === 1);
  });

  it.each([
    ['circular', 'BAD_REQUEST'],
    ['bigint', 'BAD_REQUEST'],
    ['large', 'OVERLOADED'],
    ['in a stream', 'BAD_REQUEST', [1]],
    ['first of a stream', 'BAD_REQUEST'],
    ['an error', 'BAD_REQUEST'],
  ])('that cannot be sent are an error to both sides: %s', async (what, code, parts: unknown[] = []) => {
    const errors = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const module = BroadcastModule.forRoot({ transport: transport(), startTimeout: 15_000, maxBytes: 1_000_000 });
    const testing = await Test.createTestingModule({ imports: [module], controllers: [Handlers] }).compile();
    const app = testing.createNestApplication({ logger: false });
    open.push(app);
    app.connectMicroservice({ strategy: new BroadcastServer(app.get(Bus)) });
    await app.startAllMicroservices();
    await app.init();
    const client = new BroadcastClient(await startBus(transport()));
    const heard = await whole(client.send('unsendable', what));
    expect(heard).toEqual({
      parts,
      code,
      message: expect.stringContaining('the answer to "unsendable" cannot be sent: ') as string,
    });
    expect(errors).toHaveBeenCalledWith(heard.message);
    expect(await lastValueFrom(client.send('echo', 'still there'))).toBe('still there');
  });

  it('come to 10,000 requests at once, for which everybody is asked once', async () => {
    await start(transport(), [Handlers]);
    const bus = await startBus(transport());
    const asked: unknown[] = [];
    bus.control.on('who', (message) => asked.push(decodeArgs(message)));
    const client = new BroadcastClient(bus, { timeout: 20_000 });
    const answers = await Promise.all(Array.from({ length: 10_000 }, (_, i) => lastValueFrom(client.send('echo', i))));
    expect(answers).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
    expect(asked.length).toBeLessThanOrEqual(5);
  });

  it('are refused at once to more requests than may wait', async () => {
    await start(transport(), [Handlers]);
    const client = new BroadcastClient(await startBus(transport()), { maxRequests: 2 });
    const waiting = [client.send('silence', {}), client.send('silence', {})].map((each) => each.subscribe());
    expect(await whole(client.send('echo', 1))).toMatchObject({ code: 'OVERLOADED' });
    waiting[0]!.unsubscribe();
    expect(await whole(client.send('echo', 1))).toEqual({ parts: [1] });
    waiting[1]!.unsubscribe();
  });

  it('come from another when the one that has answered is gone, or is closing', async () => {
    const gone = await answering(transport(), [{ response: 'first', isDisposed: true }], 'first');
    const client = new BroadcastClient(await startBus(transport()));
    expect(await whole(client.send('parts', {}))).toEqual({ parts: ['first'] });
    await gone.close();
    const closing = await answering(
      transport(),
      [{ err: { code: 'X', message: 'x' }, isDisposed: true, refused: true }],
      'second',
    );
    expect(await whole(client.send('parts', {}))).toMatchObject({ code: 'NO_LISTENER' });
    await closing.close();
    await answering(transport(), [{ response: 'third', isDisposed: true }], 'third');
    expect(await whole(client.send('parts', {}))).toEqual({ parts: ['third'] });
  });

  it('come while handlers keep the process busy for longer than the time to find one', async () => {
    await start(transport(), [Handlers]);
    const client = new BroadcastClient(await startBus(transport()), { discovery: 200 });
    const answer = whole(client.send('echo', 1));
    await new Promise((resolve) => setImmediate(resolve));
    const since = performance.now();
    while (performance.now() - since < 500);
    expect(await answer).toEqual({ parts: [1] });
  });

  it('no longer come from one that closes, which says so', async () => {
    await start(transport(), [Handlers]);
    const client = new BroadcastClient(await startBus(transport()), { discovery: 300 });
    expect(await whole(client.send('echo', 1))).toEqual({ parts: [1] });
    await strategies[0]!.close();
    expect(await whole(client.send('echo', 1))).toMatchObject({ code: 'NO_LISTENER' });
  });
});

describe.each(networks)('answers over %s, when the network fails', (_name, prepare, gated) => {
  it.each(['asks', 'answers'])('are whole, or end with an error: to the side that %s', async (side) => {
    const prefix = newPrefix();
    const { transport, gate } = await gated(prefix);
    open.push(gate);
    const [asking, responding] = side === 'asks' ? [transport, prepare(prefix)()] : [prepare(prefix)(), transport];
    await start(responding, [Handlers]);
    const client = new BroadcastClient(await startBus(asking));
    const events = new EventEmitter();
    const parts: unknown[] = [];
    const answer = client.send<number>('hundred', {});
    const ended = new Promise<unknown>((resolve) =>
      answer.subscribe({
        next: (part) => events.emit('part', parts.push(part)),
        error: ({ code }: { code: unknown }) => resolve(code),
        complete: () => resolve('complete'),
      }),
    );
    while (parts.length < 20) await once(events, 'part');
    gate.refuse();
    await new Promise((resolve) => setTimeout(resolve, 700));
    gate.pass();
    const end = await ended;
    if (end === 'complete') expect(parts).toHaveLength(100);
    // Where the link stays away for longer than a part may take, that is what it comes to.
    else expect(['LINK_LOST', 'TIMEOUT']).toContain(end);
    expect(parts).toEqual(parts.map((_, i) => i));
    await until('the stream is let go', () => counts.ended === 1);
  });

  it('end when they were cancelled while the link was away', async () => {
    const prefix = newPrefix();
    const { transport, gate } = await gated(prefix);
    open.push(gate);
    await start(prepare(prefix)(), [Handlers], MINUTE);
    const bus = await startBus(transport);
    const client = new BroadcastClient(bus, { timeout: MINUTE });
    const asking = Array.from({ length: 10 }, () => client.send('silence', {}).subscribe());
    await until('all streams run', () => counts.begun === 10);
    gate.refuse();
    await until('the link is lost', () => bus.state === 'down');
    for (const each of asking) each.unsubscribe();
    gate.pass();
    await until('all streams are let go', () => counts.ended === 10);
  });
});
