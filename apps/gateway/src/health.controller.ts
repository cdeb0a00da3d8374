/*
 * Health over HTTP: see apps/observability/src/health.ts.
 */
import { Controller, Get, HttpStatus, Res } from '@nestjs/common';
import { Health } from '../../observability/src/health.js';

/** The part of an HTTP response that is needed here. */
interface Response {
  status(code: number): unknown;
}

@Controller('health')
export class HealthController {
  readonly #health: Health;

  constructor(health: Health) {
    this.#health = health;
  }

  @Get('live')
  live() {
    return this.#health.live();
  }

  @Get('ready')
  ready(@Res({ passthrough: true }) response: Response) {
    const { ready, body } = this.#health.ready();
    response.status(ready ? HttpStatus.OK : HttpStatus.SERVICE_UNAVAILABLE);
    return body;
  }
}
