/*
 * What is needed to see a worker work, as providers: its metrics and its health, on a port of their own.
 */
import { Bus, type Environment } from '@app/broadcast';
import type { BeforeApplicationShutdown, Provider } from '@nestjs/common';
import { Health } from '../../observability/src/health.js';
import { Metrics } from '../../observability/src/metrics.js';
import { OperationsServer } from '../../observability/src/operations.server.js';

/** A worker that is to end finishes its jobs, and takes no more. */
class Departure implements BeforeApplicationShutdown {
  draining = false;

  beforeApplicationShutdown(): void {
    this.draining = true;
  }
}

/** Nothing where no port is given. */
export function observability({ READINESS_REQUIRES_BROKER, METRICS_PORT: port, HOST: host }: Environment): Provider[] {
  if (port === undefined) return [];
  return [
    Departure,
    { provide: Metrics, inject: [Bus], useFactory: (bus: Bus) => new Metrics(bus, 'worker') },
    {
      provide: Health,
      inject: [Bus, Departure],
      useFactory: (bus: Bus, departure: Departure) =>
        new Health(bus, { requiresBroker: READINESS_REQUIRES_BROKER, draining: () => departure.draining }),
    },
    {
      provide: OperationsServer,
      inject: [Metrics, Health],
      useFactory: (metrics: Metrics, health: Health) => new OperationsServer(metrics, health, { port, host }),
    },
  ];
}
