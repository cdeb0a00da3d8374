/*
 * On the way from the one to the other without a gap: starts on the Redis adapter, and changes when a client says
 * "change" to any of the servers. Yours would be told in a way that only you can. With ADAPTER=roomcast it starts on
 * Roomcast: for servers that start when the others have changed.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { BroadcastModule, Bus, createAdapter } from '@roomcast/broadcast/nest';
import { createAdapter as createRedisAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import type { Server, ServerOptions, Socket } from 'socket.io';
import { RoomsGateway } from './rooms.gateway.js';

@Module({ imports: [BroadcastModule.forRoot()], providers: [RoomsGateway] })
class AppModule {}

class RedisIoAdapter extends IoAdapter {
  #factory!: ReturnType<typeof createRedisAdapter>;
  io!: Server;

  async connectToRedis(): Promise<void> {
    const pubClient = new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', { lazyConnect: true });
    const subClient = pubClient.duplicate();
    await Promise.all([pubClient.connect(), subClient.connect()]);
    this.#factory = createRedisAdapter(pubClient, subClient);
  }

  override createIOServer(port: number, options?: ServerOptions): Server {
    this.io = super.createIOServer(port, options);
    this.io.adapter(this.#factory);
    return this.io;
  }
}

const app = await NestFactory.create(AppModule);
const adapter = new RedisIoAdapter(app);
await adapter.connectToRedis();
app.useWebSocketAdapter(adapter);
app.enableShutdownHooks();
await app.init(); // makes adapter.io

let changed = false;
function change() {
  if (changed) return;
  changed = true;
  adapter.io.adapter(createAdapter(app.get(Bus)));
  tell();
}
if (process.env['ADAPTER'] === 'roomcast') change();
// Said by another server: it is answered by the adapter that it has asked with.
adapter.io.on('change adapter', (heard: () => void) => {
  heard();
  change();
});
async function changeAll() {
  try {
    await adapter.io.serverSideEmitWithAck('change adapter');
  } finally {
    change(); // also when one has not answered: the others have changed already
  }
}
adapter.io.on('connection', (socket: Socket) => {
  socket.on('change', (done: (answer: string) => void) =>
    changeAll().then(
      () => done('all servers have changed'),
      (error: Error) => done(`tell each server by itself (${error.message})`),
    ),
  );
});
function tell() {
  console.log(`uses ${adapter.io.of('/').adapter.constructor.name}`);
}

await app.listen(process.env['PORT'] ?? 3000);
console.log(`listens on ${new URL(await app.getUrl()).port}`);
if (!changed) tell();
