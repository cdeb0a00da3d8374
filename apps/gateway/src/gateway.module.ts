/*
 * The gateway as a Nest module: rooms over Socket.IO, health over HTTP.
 */
import { BroadcastModule, optionsOf, type Transport } from '@app/broadcast/nest';
import * as telemetry from '@opentelemetry/api';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import { Descriptors } from './descriptors.js';
import { DrainService } from './drain.service.js';
import { GatewayMetrics } from './gateway.metrics.js';
import { HealthController } from './health.controller.js';
import { MetricsController } from './metrics.controller.js';
import { observability } from './observability.js';
import { RoomsGateway } from './rooms.gateway.js';
import { SETTINGS, type Settings } from './settings.js';

const logger = new Logger('Broadcast');

@Module({})
export class GatewayModule {
  static with(settings: Settings, transport: Transport): DynamicModule {
    return {
      module: GatewayModule,
      imports: [
        BroadcastModule.forRoot({
          transport,
          ...optionsOf(settings),
          telemetry,
          log: (level, message, fields) => logger[level](message, fields),
          maxMessageBytes: settings.MAX_MESSAGE_BYTES,
        }),
      ],
      controllers: [HealthController, MetricsController],
      providers: [
        { provide: SETTINGS, useValue: settings },
        DrainService,
        RoomsGateway,
        Descriptors,
        GatewayMetrics,
        ...observability,
      ],
    };
  }
}
