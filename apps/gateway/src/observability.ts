/*
 * What is needed to see a gateway work, as providers: its metrics, its health, and the port that they may have.
 */
import { Bus } from '@app/broadcast';
import type { Provider } from '@nestjs/common';
import { Health } from '../../observability/src/health.js';
import { Metrics } from '../../observability/src/metrics.js';
import { OperationsServer } from '../../observability/src/operations.server.js';
import { DrainService } from './drain.service.js';
import { SETTINGS, type Settings } from './settings.js';

export const observability: Provider[] = [
  { provide: Metrics, inject: [Bus], useFactory: (bus: Bus) => new Metrics(bus, 'gateway') },
  {
    provide: Health,
    inject: [Bus, DrainService, SETTINGS],
    useFactory: (bus: Bus, drain: DrainService, settings: Settings) =>
      new Health(bus, { requiresBroker: settings.READINESS_REQUIRES_BROKER, draining: () => drain.draining }),
  },
  {
    provide: OperationsServer,
    inject: [Metrics, Health, SETTINGS],
    useFactory: (metrics: Metrics, health: Health, { METRICS_PORT: port, HOST: host }: Settings) =>
      new OperationsServer(metrics, health, port === undefined ? undefined : { port, host }),
  },
];
