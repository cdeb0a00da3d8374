/*
 * `@OnJob` in Nest applications, over each transport.
 */
import {
  BroadcastError,
  BroadcastModule,
  BroadcastServer,
  Bus,
  JobContext,
  Jobs,
  OnBroadcast,
  OnJob,
  type Transport,
} from '@app/broadcast/nest';
import { until } from '@app/broadcast/testing';
import { Controller, Module, Scope, UsePipes, type INestApplication, type PipeTransform } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { randomBytes } from 'node:crypto';
import { transports } from '../transports.js';

const done: string[] = [];
const FAST = { attempts: 2, retryDelays: [10] };

class Positive implements PipeTransform {
  transform(value: unknown): unknown {
    if (typeof value === 'number' && value < 0) throw new BroadcastError('BAD_REQUEST', 'expected a positive number');
    return value;
  }
}

@Controller()
class Work {
  constructor(readonly bus: Bus) {}

  @OnJob('mail.send', { queue: 'mail', concurrency: 2, ...FAST })
  @UsePipes(Positive)
  send(@Payload() data: unknown, @Ctx() context: JobContext): void {
    done.push(`${context.getQueue()} ${context.getSubject()} ${context.getAttempt()} ${JSON.stringify(data)}`);
  }

  @OnJob('mail.*', { queue: 'mail', ...FAST })
  other(@Ctx() context: JobContext): void {
    done.push(`other ${context.getSubject()} ${context.getAttempt()}`);
    if (context.getSubject() === 'mail.fails') throw new Error('the server is away');
    if (context.getSubject() === 'mail.refuses') throw new RpcException({ code: 'BAD_REQUEST', message: 'not you' });
    if (context.getSubject() === 'mail.parts' && context.getProgress() !== '2') {
      context.continueWith(String(Number(context.getProgress() ?? 0) + 1));
    }
  }

  @OnBroadcast('mail.send')
  broadcast(): void {
    done.push('a broadcast');
  }

  @MessagePattern('mail.send')
  request(): void {
    done.push('a request');
  }
}

@Controller({ scope: Scope.REQUEST })
class Scoped {
  static made = 0;

  constructor() {
    Scoped.made++;
  }

  @OnJob('scoped', { queue: 'scoped', ...FAST })
  run(@Payload() data: unknown): void {
    done.push(`scoped ${String(data)}`);
    throw new Error('also from here');
  }
}

describe.each(transports)('@OnJob over %s', (_name, prepare) => {
  let app: INestApplication;
  let jobs: Jobs;

  beforeAll(async () => {
    app = await startApp(prepare(`n${randomBytes(4).toString('hex')}.`)());
    jobs = app.get(Jobs);
  });
  beforeEach(() => done.splice(0));
  afterAll(() => app.close());

  async function dead(queue: string, id: string) {
    await until(`${id} is given up`, async () => (await jobs.dead(queue, { id })).length === 1);
    return (await jobs.dead(queue, { id }))[0];
  }

  it('is run for the jobs of its queue and pattern, the exact one first, and for nothing else', async () => {
    await jobs.enqueue('mail', 'mail.send', { to: 'ann' });
    await jobs.enqueue('mail', 'mail.forward');
    await until('both are done', () => done.length === 2);
    expect(done.sort()).toEqual(['mail mail.send 1 {"to":"ann"}', 'other mail.forward 1']);
  });

  it('has its errors kept as they are: the message, and whether to try again', async () => {
    await jobs.enqueue('mail', 'mail.fails', null, { id: 'fails' });
    await jobs.enqueue('mail', 'mail.refuses', null, { id: 'refuses' });
    await jobs.enqueue('mail', 'mail.send', -1, { id: 'piped' });
    await jobs.enqueue('mail', 'post.send', null, { id: 'nobody' });
    expect(await dead('mail', 'fails')).toMatchObject({ reason: 'failed', attempts: 2, error: 'the server is away' });
    expect(await dead('mail', 'refuses')).toMatchObject({ reason: 'refused', attempts: 1, error: 'not you' });
    expect(await dead('mail', 'piped')).toMatchObject({ reason: 'refused', error: 'expected a positive number' });
    expect(await dead('mail', 'nobody')).toMatchObject({ reason: 'no_handler', attempts: 0 });
  });

  it('can do a job in parts', async () => {
    await jobs.enqueue('mail', 'mail.parts');
    await until('all are done', () => done.length === 3);
    expect(done).toEqual(Array.from({ length: 3 }, () => 'other mail.parts 1'));
  });

  it('is made anew for each job where its class is of the request', async () => {
    const before = Scoped.made;
    await jobs.enqueue('scoped', 'scoped', 1, { id: 'scoped' });
    expect(await dead('scoped', 'scoped')).toMatchObject({ attempts: 2, error: 'also from here' });
    expect(done).toEqual(['scoped 1', 'scoped 1']);
    expect(Scoped.made - before).toBe(2);
  });
});

it('refuses options that cannot be, when the class is defined', () => {
  for (const options of [{ queue: 'a b' }, { queue: 'q', attempts: 0 }, { queue: 'q', retryDelays: [-1] }]) {
    expect(() => OnJob('x', options)).toThrow(BroadcastError);
  }
});

async function startApp(transport: Transport): Promise<INestApplication> {
  @Module({ imports: [BroadcastModule.forRoot({ transport, startTimeout: 15_000 })], controllers: [Work, Scoped] })
  class AppModule {}
  const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
  const app = module.createNestApplication({ logger: false });
  app.connectMicroservice({ strategy: new BroadcastServer(app.get(Bus)) });
  await app.startAllMicroservices();
  return app.init();
}
