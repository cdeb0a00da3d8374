/*
 * An acknowledgement always comes, whatever is thrown: Nest by itself leaves a client that waits for one waiting.
 */
import { Catch, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { isAck, refusalOf } from './answer.js';
import { LimitsService } from './limits/limits.service.js';

@Catch()
export class AnswerFilter implements ExceptionFilter {
  readonly #logger = new Logger(AnswerFilter.name);
  readonly #limits: LimitsService;

  constructor(limits: LimitsService) {
    this.#limits = limits;
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const refusal = refusalOf(thrown);
    if (refusal.error.code === 'INTERNAL') this.#log(thrown, host);
    if (refusal.error.code === 'TOO_LARGE') this.#limits.tooLarge();
    host.getArgs<unknown[]>().find(isAck)?.(refusal);
  }

  #log(thrown: unknown, host: ArgumentsHost): void {
    const ws = host.switchToWs();
    const { room, id } = ws.getData<{ room?: unknown; id?: unknown } | null>() ?? {};
    const { message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
    this.#logger.error(message, { request: ws.getPattern(), room, id }, stack);
  }
}
