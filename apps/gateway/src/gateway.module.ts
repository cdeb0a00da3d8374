/*
 * The gateway as a Nest module: rooms over Socket.IO, health over HTTP.
 */
import { BroadcastModule, Bus, Moderation, optionsOf, type Transport } from '@app/broadcast/nest';
import * as telemetry from '@opentelemetry/api';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import { AccessGateway } from './access/access.gateway.js';
import { AccessService } from './access/access.service.js';
import { Descriptors } from './descriptors.js';
import { DrainService } from './drain.service.js';
import { Entrance } from './entrance.js';
import { GatewayMetrics } from './gateway.metrics.js';
import { HealthController } from './health.controller.js';
import { Directory } from './http/directory.js';
import { RoomsController } from './http/rooms.controller.js';
import { InfoGateway } from './info.gateway.js';
import { LimitsService } from './limits/limits.service.js';
import { MetricsController } from './metrics.controller.js';
import { ModerationController } from './moderation/moderation.controller.js';
import { ModerationGateway } from './moderation/moderation.gateway.js';
import { ModerationService } from './moderation/moderation.service.js';
import { observability } from './observability.js';
import { PageController } from './page/page.controller.js';
import { PresenceGateway } from './presence/presence.gateway.js';
import { PresenceService } from './presence/presence.service.js';
import { RoomsGateway } from './rooms.gateway.js';
import { Sessions } from './sessions.js';
import { SETTINGS, type Settings } from './settings.js';
import { SocketServer } from './socket-server.js';

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
      controllers: [HealthController, MetricsController, RoomsController, ModerationController, PageController],
      providers: [
        { provide: SETTINGS, useValue: settings },
        DrainService,
        SocketServer,
        PresenceService,
        Directory,
        Sessions,
        AccessService,
        LimitsService,
        { provide: Moderation, inject: [Bus], useFactory: (bus: Bus) => new Moderation(bus) },
        ModerationService,
        Entrance,
        RoomsGateway,
        AccessGateway,
        ModerationGateway,
        PresenceGateway,
        InfoGateway,
        Descriptors,
        GatewayMetrics,
        ...observability,
      ],
    };
  }
}
