import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BroadcastIoAdapter, BroadcastModule, memory } from '../nest.js';

@Module({})
class Without {}

@Module({ imports: [BroadcastModule.forRoot({ transport: memory() })] })
class With {}

const make = (module: object) => NestFactory.create(module, { logger: false });

describe("Nest's adapter", () => {
  it('says what to import where the application has no bus, and does not end the process', async () => {
    const app = await make(Without);
    const message =
      'BroadcastIoAdapter needs the Bus of the application: import BroadcastModule.forRoot() in its root module';
    expect(() => new BroadcastIoAdapter(app)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message }));
    await app.close();
  });

  it('checks its options at once, and takes those of Socket.IO beside them', async () => {
    const app = await make(With);
    expect(() => new BroadcastIoAdapter(app, { requestTimeout: 5 } as object)).toThrow(
      'the adapter has no option requestTimeout',
    );
    expect(() => new BroadcastIoAdapter(app, { role: 'chat', server: { path: '/ws' } })).not.toThrow();
    await app.close();
  });
});
