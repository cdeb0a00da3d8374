/*
 * Starts a worker: a Nest microservice without a port, on the same bus as the gateways.
 */
import { BroadcastServer, Bus, transportOf, type Environment, type Transport } from '@app/broadcast/nest';
import { ConsoleLogger, LOG_LEVELS, Logger, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { WorkerModule } from './worker.module.js';

export interface Worker {
  readonly app: INestMicroservice;
}

/** @param transport share one `memory()` between the gateways and workers of a process that are to hear each other */
export async function startWorker(
  settings: Environment,
  transport: Transport = transportOf(settings),
): Promise<Worker> {
  const jobs = { grace: settings.SHUTDOWN_GRACE, lease: settings.JOB_LEASE };
  const app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(WorkerModule.with(settings, transport), {
    inject: [Bus],
    useFactory: (bus: Bus) => ({ strategy: new BroadcastServer(bus, { jobs }) }),
    logger: new ConsoleLogger({
      logLevels: LOG_LEVELS.slice(LOG_LEVELS.indexOf(settings.LOG_LEVEL)),
      json: settings.NODE_ENV === 'production',
    }),
  });
  await app.listen();
  const { instance } = app.get(Bus);
  const alone = transport.name === 'memory' ? ', heard in this process only' : '';
  new Logger('Worker').log(`${instance} is at work over ${transport.name}${alone}`);
  return { app };
}
