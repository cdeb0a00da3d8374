/*
 * The worker as a Nest module.
 */
import { BroadcastModule, optionsOf, type Environment, type Transport } from '@app/broadcast/nest';
import * as telemetry from '@opentelemetry/api';
import { Logger, Module, type DynamicModule } from '@nestjs/common';
import { AnnouncementsController } from './announcements.controller.js';
import { observability } from './observability.js';
import { RoomsController } from './rooms.controller.js';

const logger = new Logger('Broadcast');

@Module({})
export class WorkerModule {
  static with(environment: Environment, transport: Transport): DynamicModule {
    return {
      module: WorkerModule,
      imports: [
        BroadcastModule.forRoot({
          transport,
          ...optionsOf(environment),
          telemetry,
          log: (level, message, fields) => logger[level](message, fields),
          maxMessageBytes: environment.MAX_MESSAGE_BYTES,
        }),
      ],
      controllers: [AnnouncementsController, RoomsController],
      providers: observability(environment),
    };
  }
}
