/*
 * The gateway as a Nest module: rooms over Socket.IO, health over HTTP.
 */
import { BroadcastModule, optionsOf, type Transport } from '@app/broadcast/nest';
import { Module, type DynamicModule } from '@nestjs/common';
import { DrainService } from './drain.service.js';
import { HealthController } from './health.controller.js';
import { Directory } from './http/directory.js';
import { RoomsController } from './http/rooms.controller.js';
import { PresenceGateway } from './presence/presence.gateway.js';
import { PresenceService } from './presence/presence.service.js';
import { RoomsGateway } from './rooms.gateway.js';
import { SETTINGS, type Settings } from './settings.js';
import { SocketServer } from './socket-server.js';

@Module({})
export class GatewayModule {
  static with(settings: Settings, transport: Transport): DynamicModule {
    return {
      module: GatewayModule,
      imports: [
        BroadcastModule.forRoot({
          transport,
          ...optionsOf(settings),
          maxMessageBytes: settings.MAX_MESSAGE_BYTES,
        }),
      ],
      controllers: [HealthController, RoomsController],
      providers: [
        { provide: SETTINGS, useValue: settings },
        DrainService,
        SocketServer,
        PresenceService,
        Directory,
        RoomsGateway,
        PresenceGateway,
      ],
    };
  }
}
