/*
 * `GET /metrics` on the clients' port, unless the metrics have a port of their own.
 */
import { Controller, Get, Inject, NotFoundException, Res } from '@nestjs/common';
import { Metrics } from '../../observability/src/metrics.js';
import { SETTINGS, type Settings } from './settings.js';

/** The part of an HTTP response that is needed here. */
interface Response {
  setHeader(name: string, value: string): unknown;
}

@Controller('metrics')
export class MetricsController {
  readonly #metrics: Metrics;
  readonly #isElsewhere: boolean;

  constructor(metrics: Metrics, @Inject(SETTINGS) settings: Settings) {
    this.#metrics = metrics;
    this.#isElsewhere = settings.METRICS_PORT !== undefined;
  }

  @Get()
  async text(@Res({ passthrough: true }) response: Response): Promise<string> {
    if (this.#isElsewhere) throw new NotFoundException('the metrics are at METRICS_PORT');
    response.setHeader('content-type', this.#metrics.contentType);
    return this.#metrics.text();
  }
}
