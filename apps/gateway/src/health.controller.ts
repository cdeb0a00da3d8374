/*
 * Health over HTTP: see apps/observability/src/health.ts.
 */
import { Controller, Get, HttpStatus, Res } from '@nestjs/common';
import { Health } from '../../observability/src/health.js';
import { LimitsService } from './limits/limits.service.js';
import { Sessions } from './sessions.js';

/** The part of an HTTP response that is needed here. */
interface Response {
  status(code: number): unknown;
}

@Controller('health')
export class HealthController {
  readonly #health: Health;
  readonly #sessions: Sessions;
  readonly #limits: LimitsService;

  constructor(health: Health, sessions: Sessions, limits: LimitsService) {
    this.#health = health;
    this.#sessions = sessions;
    this.#limits = limits;
  }

  @Get('live')
  live() {
    return this.#health.live();
  }

  @Get('ready')
  ready(@Res({ passthrough: true }) response: Response) {
    const { ready, body } = this.#health.ready();
    response.status(ready ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE);
    return { ...body, connections: this.#sessions.size, refused: this.#limits.counts };
  }
}
