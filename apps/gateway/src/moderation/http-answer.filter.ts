/*
 * What a request by HTTP is answered with, whatever is thrown: the same errors as by sockets, with the status that fits.
 */
import { Catch, HttpException, Logger, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { refusalOf, RequestError, type AnswerCode } from '../answer.js';

const STATUS: Readonly<Record<AnswerCode, number>> = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_IN_ROOM: 409,
  NOT_FOUND: 404,
  TOO_LARGE: 413,
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
  INTERNAL: 500,
};

/** The part of a response that is needed here. */
interface Response {
  status(code: number): this;
  setHeader(name: string, value: string): unknown;
  json(body: object): unknown;
}

@Catch()
export class HttpAnswerFilter implements ExceptionFilter {
  readonly #logger = new Logger(HttpAnswerFilter.name);

  catch(thrown: unknown, host: ArgumentsHost): void {
    const isClients = thrown instanceof HttpException && thrown.getStatus() < 500;
    const { error } = refusalOf(isClients ? new RequestError('BAD_REQUEST', thrown.message) : thrown);
    if (error.code === 'INTERNAL') this.#logger.error(thrown);
    const response = host.switchToHttp().getResponse<Response>();
    if (error.retryAfter !== undefined) response.setHeader('Retry-After', String(Math.ceil(error.retryAfter / 1_000)));
    response.status(STATUS[error.code]).json({ error });
  }
}
