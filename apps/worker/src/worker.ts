/*
 * Starts a worker: a Nest microservice without a port, on the same bus as the gateways.
 */
import { BroadcastServer, Bus, transportOf, type Environment, type Transport } from '@app/broadcast/nest';
import { Logger, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { createLogger, newInstance } from '../../observability/src/logger.js';
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
  const { INSTANCE_ID = newInstance() } = settings;
  const module = WorkerModule.with({ ...settings, INSTANCE_ID }, transport);
  const app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(module, {
    inject: [Bus],
    useFactory: (bus: Bus) => ({ strategy: new BroadcastServer(bus, { jobs }) }),
    abortOnError: false,
    logger: createLogger(settings, INSTANCE_ID),
  });
  await app.listen();
  const { instance } = app.get(Bus);
  const alone = transport.name === 'memory' ? ', heard in this process only' : '';
  new Logger('Worker').log(`${instance} is at work over ${transport.name}${alone}`);
  return { app };
}
