/*
 * The gateway as a Nest module: rooms over Socket.IO, health over HTTP.
 */
import { BroadcastModule, type Transport } from '@app/broadcast/nest';
import { Module, type DynamicModule } from '@nestjs/common';
import { DrainService } from './drain.service.js';
import { HealthController } from './health.controller.js';
import { RoomsGateway } from './rooms.gateway.js';
import { SETTINGS, type Settings } from './settings.js';

@Module({})
export class GatewayModule {
  static with(settings: Settings, transport: Transport): DynamicModule {
    return {
      module: GatewayModule,
      imports: [
        BroadcastModule.forRoot({
          transport,
          instance: settings.INSTANCE_ID,
          secret: settings.BROADCAST_SECRET,
          requireSigned: settings.BROADCAST_REQUIRE_SIGNED,
          maxMessageBytes: settings.MAX_MESSAGE_BYTES,
        }),
      ],
      controllers: [HealthController],
      providers: [{ provide: SETTINGS, useValue: settings }, DrainService, RoomsGateway],
    };
  }
}
