/*
 * Every refusal over HTTP has the same form, `{ error: { code, message, retryAfter? } }`, and the status that fits its code:
 * what the API refuses, and what the ground beneath it does (no such route, a body that is no JSON, or is too large).
 */
import { BroadcastError } from '@app/broadcast';
import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { ServerResponse } from 'node:http';
import { refusalOf, RequestError, type AnswerCode } from '../answer.js';
import { LimitsService } from '../limits/limits.service.js';

export const STATUS = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_IN_ROOM: 403,
  NOT_FOUND: 404,
  TOO_LARGE: 413,
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
  INTERNAL: 500,
} as const satisfies Record<AnswerCode, number>;

const UNSUPPORTED = 415;

export const BODY_TOO_LARGE = 'the body is too large: send less, or fewer rooms at once';

/** A body of another kind than JSON. */
export class MediaTypeError extends RequestError {
  constructor(message = 'the body has to be JSON: send Content-Type: application/json') {
    super('BAD_REQUEST', message);
  }
}

@Catch()
export class HttpAnswerFilter implements ExceptionFilter {
  readonly #logger = new Logger(HttpAnswerFilter.name);
  readonly #limits: LimitsService;

  constructor(limits: LimitsService) {
    this.#limits = limits;
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const refused = asRequestError(thrown);
    const { error } = refusalOf(refused);
    if (error.code === 'INTERNAL') this.#logger.error(thrown);
    if (error.code === 'TOO_LARGE') this.#limits.tooLarge();
    const response = host.switchToHttp().getResponse<ServerResponse>();
    if (response.headersSent) return void response.destroy();
    response.statusCode = refused instanceof MediaTypeError ? UNSUPPORTED : STATUS[error.code];
    if (error.retryAfter !== undefined)
      response.setHeader('Retry-After', Math.max(1, Math.ceil(error.retryAfter / 1000)));
    if (error.code === 'UNAUTHENTICATED') response.setHeader('WWW-Authenticate', 'Bearer');
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.end(JSON.stringify({ error }));
  }
}

/** What Nest, Express and its body parser throw has a status; some of it a type, too. */
function asRequestError(thrown: unknown): unknown {
  if (thrown instanceof RequestError || thrown instanceof BroadcastError) return thrown;
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { status?: unknown } | null)?.status;
  switch (status) {
    case STATUS.NOT_FOUND:
      return new RequestError('NOT_FOUND', 'there is nothing at this address: /docs lists what there is');
    case STATUS.TOO_LARGE:
      return new RequestError('TOO_LARGE', BODY_TOO_LARGE);
    case UNSUPPORTED:
      return new MediaTypeError('the body has to be JSON in UTF-8, plain or as gzip, deflate or br');
    default:
      return typeof status === 'number' && status >= 400 && status < 500
        ? new RequestError(
            'BAD_REQUEST',
            'the request cannot be read: expected JSON in the body, and a well-formed address',
          )
        : thrown;
  }
}
