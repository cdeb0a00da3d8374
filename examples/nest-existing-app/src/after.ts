/*
 * The same application on Roomcast: over the broker that BROADCAST_TRANSPORT names, memory, redis or rabbitmq.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { BroadcastIoAdapter, BroadcastModule } from '@roomcast/broadcast/nest';
import { RoomsGateway } from './rooms.gateway.js';

@Module({ imports: [BroadcastModule.forRoot()], providers: [RoomsGateway] })
class AppModule {}

const app = await NestFactory.create(AppModule);
app.useWebSocketAdapter(new BroadcastIoAdapter(app));
app.enableShutdownHooks();
await app.listen(process.env['PORT'] ?? 3000);
console.log(`listens on ${new URL(await app.getUrl()).port}`);
