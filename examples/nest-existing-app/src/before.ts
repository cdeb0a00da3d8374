/*
 * An existing Nest application, with the Redis adapter as Nest's documentation shows it.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { createAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import type { Server, ServerOptions } from 'socket.io';
import { RoomsGateway } from './rooms.gateway.js';

@Module({ providers: [RoomsGateway] })
class AppModule {}

class RedisIoAdapter extends IoAdapter {
  #factory!: ReturnType<typeof createAdapter>;

  async connectToRedis(): Promise<void> {
    const pubClient = new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', { lazyConnect: true });
    const subClient = pubClient.duplicate();
    await Promise.all([pubClient.connect(), subClient.connect()]);
    this.#factory = createAdapter(pubClient, subClient);
  }

  override createIOServer(port: number, options?: ServerOptions): Server {
    const server = super.createIOServer(port, options);
    server.adapter(this.#factory);
    return server;
  }
}

const app = await NestFactory.create(AppModule);
const adapter = new RedisIoAdapter(app);
await adapter.connectToRedis();
app.useWebSocketAdapter(adapter);
await app.listen(process.env['PORT'] ?? 3000);
console.log(`listens on ${new URL(await app.getUrl()).port}`);
