/*
 * The gateway as a Nest module: rooms over Socket.IO, health over HTTP.
 */
import { BroadcastModule, optionsOf, type Transport } from '@app/broadcast/nest';
import { Module, type DynamicModule } from '@nestjs/common';
import { DrainService } from './drain.service.js';
import { HealthController } from './health.controller.js';
import { InfoGateway } from './info.gateway.js';
import { PageController } from './page/page.controller.js';
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
          ...optionsOf(settings),
          maxMessageBytes: settings.MAX_MESSAGE_BYTES,
        }),
      ],
      controllers: [HealthController, PageController],
      providers: [{ provide: SETTINGS, useValue: settings }, DrainService, RoomsGateway, InfoGateway],
    };
  }
}
