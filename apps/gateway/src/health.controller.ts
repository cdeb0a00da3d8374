/*
 * Two questions of an orchestrator: does the process live, and should it get traffic? A broker outage after the start
 * shows in the answer but keeps the instance in rotation, since another one would fare no better.
 */
import { Bus } from '@app/broadcast';
import { Controller, Get, HttpStatus, Inject, Res } from '@nestjs/common';
import { DrainService } from './drain.service.js';
import { LimitsService } from './limits/limits.service.js';
import { Sessions } from './sessions.js';
import { SETTINGS, type Settings } from './settings.js';

/** The part of an HTTP response that is needed here. */
interface Response {
  status(code: number): unknown;
}

@Controller('health')
export class HealthController {
  readonly #bus: Bus;
  readonly #drain: DrainService;
  readonly #requiresBroker: boolean;
  readonly #sessions: Sessions;
  readonly #limits: LimitsService;
  #trouble?: string;

  constructor(
    bus: Bus,
    drain: DrainService,
    sessions: Sessions,
    limits: LimitsService,
    @Inject(SETTINGS) settings: Settings,
  ) {
    this.#sessions = sessions;
    this.#limits = limits;
    this.#bus = bus;
    this.#drain = drain;
    this.#requiresBroker = settings.READINESS_REQUIRES_BROKER;
    bus.on('error', ({ code, message }) => {
      if (code === 'LINK_LOST') this.#trouble = message;
    });
  }

  @Get('live')
  live() {
    return { status: 'ok', instance: this.#bus.instance };
  }

  @Get('ready')
  ready(@Res({ passthrough: true }) response: Response) {
    const { instance, state, everUp, blocked, roundTrip, transport, counts } = this.#bus;
    const { draining } = this.#drain;
    const ready = everUp && !draining && (state === 'up' || !this.#requiresBroker);
    response.status(ready ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE);
    const trouble = state === 'up' ? undefined : this.#trouble;
    const broker = { transport: transport.name, state, trouble, blocked, roundTrip, ...counts };
    const connections = this.#sessions.size;
    const refused = this.#limits.counts;
    return { status: ready ? 'ok' : 'unavailable', instance, draining, connections, refused, broker };
  }
}
