/*
 * The library in Nest applications: the module, the transport strategy, the client, and the order of starting and
 * stopping. Two applications in this process, over each transport.
 */
import {
  BROADCAST_TRANSPORT,
  BroadcastClient,
  BroadcastContext,
  BroadcastIoAdapter,
  BroadcastModule,
  BroadcastServer,
  Bus,
  OnBroadcast,
  Rooms,
  type BusState,
  type Transport,
} from '@app/broadcast/nest';
import { until } from '@app/broadcast/testing';
import { Controller, Injectable, Module, type INestApplication, type OnModuleDestroy } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { randomBytes } from 'node:crypto';
import { lastValueFrom, of, toArray } from 'rxjs';
import type { Server, Socket } from 'socket.io';
import { io } from 'socket.io-client';
import { transports } from '../transports.js';

const heard: string[] = [];

@Controller()
class Listeners {
  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  #note(by: string, data: unknown, context: BroadcastContext): void {
    heard.push(
      `${this.#bus.instance} ${by} ${context.getSubject()} ${JSON.stringify(data)} from ${context.getOrigin()}`,
    );
  }

  @OnBroadcast('order.created')
  exact(@Payload() data: unknown, @Ctx() context: BroadcastContext): void {
    this.#note('exact', data, context);
  }

  @OnBroadcast('order.*')
  word(@Payload() data: unknown, @Ctx() context: BroadcastContext): void {
    this.#note('word', data, context);
  }

  @OnBroadcast('#.created')
  words(@Payload() data: unknown, @Ctx() context: BroadcastContext): void {
    this.#note('words', data, context);
  }

  @OnBroadcast('fails')
  fails(): void {
    throw new Error('on purpose');
  }

  @MessagePattern('math.*', BROADCAST_TRANSPORT)
  anyMath(): string {
    return 'by the wildcard';
  }

  @MessagePattern('math.pi', BROADCAST_TRANSPORT)
  pi(): number {
    return 3;
  }

  @MessagePattern('add', BROADCAST_TRANSPORT)
  add(@Payload() numbers: number[]): number {
    heard.push(`${this.#bus.instance} add`);
    return numbers.reduce((sum, each) => sum + each, 0);
  }

  @MessagePattern('42', BROADCAST_TRANSPORT)
  number(): string {
    return 'a pattern that is JSON too';
  }

  @MessagePattern('stream', BROADCAST_TRANSPORT)
  stream() {
    return of(1, 2, 3);
  }

  @MessagePattern('refuse', BROADCAST_TRANSPORT)
  refuse(): void {
    throw new RpcException({ code: 'FORBIDDEN', message: 'not you', details: { x: 1 } });
  }

  @MessagePattern('break', BROADCAST_TRANSPORT)
  break(): void {
    throw new Error('secret');
  }

  @MessagePattern('never', BROADCAST_TRANSPORT)
  never(): Promise<void> {
    return new Promise(() => undefined);
  }
}

@WebSocketGateway()
class ChatGateway {
  @WebSocketServer()
  readonly server!: Server;

  @SubscribeMessage('enter')
  async enter(@ConnectedSocket() socket: Socket, @MessageBody() room: string) {
    await socket.join(room);
    return { entered: room };
  }

  handleDisconnect(): void {
    this.server.to('lobby').emit('left');
  }
}

/** Says something at the first moment of shutting down, when the bus has to be there still. */
@Injectable()
class Farewell implements OnModuleDestroy {
  readonly #rooms: Rooms;
  static readonly states: BusState[] = [];

  constructor(
    rooms: Rooms,
    readonly bus: Bus,
  ) {
    this.#rooms = rooms;
  }

  async onModuleDestroy(): Promise<void> {
    Farewell.states.push(this.bus.state);
    await this.#rooms.to('lobby').emit('farewell', this.bus.instance);
  }
}

describe.each(transports)('two Nest applications over %s', (_name, prepare) => {
  let apps: [INestApplication, INestApplication];
  let client: BroadcastClient;

  beforeAll(async () => {
    const transport = prepare(`n${randomBytes(4).toString('hex')}.`);
    apps = (await Promise.all(['one', 'two'].map((instance) => startApp(transport(), instance)))) as typeof apps;
    client = apps[0].get(BroadcastClient);
  });
  beforeEach(() => heard.splice(0));
  afterAll(() => Promise.all(apps.map((app) => app.close())));

  it('both hear a broadcast, in every handler whose pattern matches', async () => {
    await lastValueFrom(client.emit('order.created', { n: 1 }), { defaultValue: undefined });
    await until('six handlers run', () => heard.length === 6);
    const lines = ['one', 'two'].flatMap((app) =>
      ['exact', 'word', 'words'].map((by) => `${app} ${by} order.created {"n":1} from one`),
    );
    expect([...heard].sort()).toEqual(lines.sort());
  });

  it('know * for one word and # for any number', async () => {
    for (const subject of ['order.paid', 'a.b.created', 'created', 'order', 'order.x.y']) client.emit(subject, 0);
    client.emit('order.created', 'last');
    await until('the last is heard', () => heard.filter((line) => line.includes('last')).length === 6);
    const before = heard
      .filter((line) => line.startsWith('one') && !line.includes('last'))
      .map((line) => line.split(' ', 3).join(' '));
    expect(before.sort()).toEqual(['one word order.paid', 'one words a.b.created', 'one words created']);
  });

  it('have one of them answer a request, also one by a pattern that is JSON, and a stream whole', async () => {
    expect(await lastValueFrom(client.send('add', [1, 2, 3]))).toBe(6);
    expect(heard).toHaveLength(1);
    expect(await lastValueFrom(client.send('42', {}))).toBe('a pattern that is JSON too');
    expect(await lastValueFrom(client.send('math.e', {}))).toBe('by the wildcard');
    expect(await lastValueFrom(client.send('math.pi', {}))).toBe(3);
    expect(await lastValueFrom(client.send('stream', {}).pipe(toArray()))).toEqual([1, 2, 3]);
  });

  it('get errors as errors, and one of its own when nobody answers', async () => {
    const quick = new BroadcastClient(apps[0].get(Bus), { timeout: 200, discovery: 200 });
    const failure = (pattern: string) => lastValueFrom(quick.send(pattern, {})).catch((error: unknown) => error);
    expect(await failure('refuse')).toMatchObject({
      name: 'RemoteError',
      code: 'FORBIDDEN',
      message: 'not you',
      details: { x: 1 },
    });
    const broken = (await failure('break')) as Error;
    expect(broken).toBeInstanceOf(Error);
    expect(broken.message).toBe('Internal server error');
    expect(await failure('nobody')).toMatchObject({ code: 'NO_LISTENER', message: 'no instance handles "nobody"' });
    expect(await failure('never')).toMatchObject({ code: 'TIMEOUT' });
    quick.close();
  });

  it('survive a handler that throws', async () => {
    client.emit('fails', 1);
    client.emit('order.created', 'after');
    await until('what follows is handled', () => heard.length === 6);
    expect(apps[1].get(Bus).counts.failed).toBe(0);
  });

  it('carry an existing gateway to the other instance, and Rooms to its sockets', async () => {
    const [url, other] = await Promise.all(apps.map(async (app) => (await app.getUrl()).replace('[::1]', '127.0.0.1')));
    const sockets = [io(url, { forceNew: true }), io(other, { forceNew: true })] as const;
    const got: unknown[][] = [];
    sockets[1].onAny((...args: unknown[]) => got.push(args));
    for (const socket of sockets) expect(await socket.emitWithAck('enter', 'lobby')).toEqual({ entered: 'lobby' });
    apps[0].get(ChatGateway).server.to('lobby').emit('plain', 1);
    await apps[0].get(Rooms).to('lobby').emit('chat', { text: 'hi' });
    await until('both arrive', () => got.length === 2);
    expect(got).toEqual([
      ['plain', 1],
      ['chat', { text: 'hi' }, expect.objectContaining({ room: 'lobby' })],
    ]);
    sockets[0].disconnect();
    await until('the disconnect handler is heard on the other', () => got.length === 3);
    expect(got[2]).toEqual(['left']);
    sockets[1].disconnect();
  });

  it('stop in order: the bus is there until everybody has said farewell', async () => {
    const url = (await apps[1].getUrl()).replace('[::1]', '127.0.0.1');
    const [socket, leaving] = [
      io(url, { forceNew: true }),
      io((await apps[0].getUrl()).replace('[::1]', '127.0.0.1'), { forceNew: true, reconnection: false }),
    ];
    const got: unknown[] = [];
    socket.onAny((event: string, data: unknown) => got.push([event, data]));
    await Promise.all([socket.emitWithAck('enter', 'lobby'), leaving.emitWithAck('enter', 'lobby')]);
    await apps[0].close();
    await until('the last words arrive', () => got.length === 2);
    expect(got).toEqual([
      ['farewell', 'one'],
      ['left', undefined],
    ]);
    expect(Farewell.states.at(-1)).toBe('up');
    expect(apps[0].get(Bus).state).toBe('closed');
    socket.disconnect();
  });
});

it('forRoot() takes the transport from the environment', async () => {
  const module = await Test.createTestingModule({ imports: [BroadcastModule.forRoot()] }).compile();
  await module.init();
  expect(module.get(Bus).transport.name).toBe('memory');
  expect(module.get(Bus).state).toBe('up');
  await module.close();
  expect(module.get(Bus).state).toBe('closed');
});

async function startApp(transport: Transport, instance: string): Promise<INestApplication> {
  @Module({
    imports: [
      BroadcastModule.forRootAsync({
        imports: [],
        inject: [],
        useFactory: async () => Promise.resolve({ transport, instance, startTimeout: 15_000 }),
      }),
    ],
    controllers: [Listeners],
    providers: [ChatGateway, Farewell],
  })
  class AppModule {}
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  const app = module.createNestApplication({ logger: false });
  app.useWebSocketAdapter(new BroadcastIoAdapter(app));
  app.connectMicroservice({ strategy: new BroadcastServer(app.get(Bus)) });
  await app.startAllMicroservices();
  expect(app.get(Bus).state).toBe('up');
  await app.listen(0);
  return app;
}
