/*
 * Requests that end before their answer does, over each transport.
 */
import { BROADCAST_TRANSPORT, BroadcastClient, BroadcastModule, BroadcastServer, Bus } from '@app/broadcast/nest';
import { until } from '@app/broadcast/testing';
import { Controller, Module, type INestApplication } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { randomBytes } from 'node:crypto';
import { finalize, firstValueFrom, interval, NEVER, type Observable } from 'rxjs';
import { transports } from '../transports.js';

const counts = { begun: 0, ended: 0 };

@Controller()
class Streams {
  @MessagePattern('ticks', BROADCAST_TRANSPORT)
  ticks(): Observable<number> {
    return this.#counted(interval(5));
  }

  @MessagePattern('silence', BROADCAST_TRANSPORT)
  silence(): Observable<never> {
    return this.#counted(NEVER);
  }

  #counted<T>(stream: Observable<T>): Observable<T> {
    counts.begun++;
    return stream.pipe(finalize(() => counts.ended++));
  }
}

describe.each(transports)('requests over %s', (_name, prepare) => {
  let apps: [INestApplication, INestApplication];
  let client: BroadcastClient;

  beforeAll(async () => {
    const transport = prepare(`n${randomBytes(4).toString('hex')}.`);
    @Module({
      imports: [BroadcastModule.forRoot({ transport: transport(), startTimeout: 15_000 })],
      controllers: [Streams],
    })
    class Answering {}
    @Module({ imports: [BroadcastModule.forRoot({ transport: transport(), startTimeout: 15_000 })] })
    class Asking {}
    apps = (await Promise.all([Answering, Asking].map(start))) as typeof apps;
    client = new BroadcastClient(apps[1].get(Bus), { timeout: 300 });
  });
  beforeEach(() => Object.assign(counts, { begun: 0, ended: 0 }));
  afterAll(() => Promise.all(apps.map((app) => app.close())));

  it('end where they are answered when nobody waits any more', async () => {
    expect(await firstValueFrom(client.send('ticks', {}))).toBe(0);
    await until('the stream is let go', () => counts.ended === 1);
    expect(counts.begun).toBe(1);
  });

  it('end there too when no answer comes in time', async () => {
    await expect(firstValueFrom(client.send('silence', {}))).rejects.toMatchObject({ code: 'TIMEOUT' });
    await until('the stream is let go', () => counts.ended === 1);
  });
});

async function start(module: new () => unknown): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  const app = testing.createNestApplication({ logger: false });
  app.connectMicroservice({ strategy: new BroadcastServer(app.get(Bus)) });
  await app.startAllMicroservices();
  return app.init();
}
