/*
 * The ground under the HTTP API: who calls is looked at before a byte of a body is read, how much is under way at once is
 * bounded, and a body is JSON or refused.
 */
import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { RequestError } from '../answer.js';
import { LimitsService } from '../limits/limits.service.js';
import type { Settings } from '../settings.js';
import { ApiKeys } from './api-keys.js';
import { BODY_TOO_LARGE, HttpAnswerFilter, MediaTypeError } from './http-answer.filter.js';

type Next = (error?: unknown) => void;

/** After how long to come back who finds too much under way, in ms. */
const COME_BACK = 1_000;
/** The longest list of rooms, and what JSON adds to a message at most, in bytes. */
const ROOMS_BYTES = 2 * 1024 * 1024;
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

/** The largest body, in bytes. A message within its limit may be written with up to six bytes for one. */
export function maxBodyBytes({ MAX_MESSAGE_BYTES }: Pick<Settings, 'MAX_MESSAGE_BYTES'>): number {
  return ROOMS_BYTES + 6 * MAX_MESSAGE_BYTES;
}

/** To be called before the routes are there. */
export function prepareApi(app: NestExpressApplication, settings: Settings): void {
  const { API_CONCURRENCY: most } = settings;
  const largest = maxBodyBytes(settings);
  const keys = new ApiKeys(settings);
  if (keys.warning !== undefined) new Logger('Api').warn(keys.warning);
  let underWay = 0;
  app.disable('x-powered-by');
  app.useGlobalFilters(new HttpAnswerFilter(app.get(LimitsService)));
  app.use('/v1', (request: IncomingMessage, response: ServerResponse, next: Next) => {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    keys.check({ headers: request.headers, address: request.socket.remoteAddress });
    // The parser would read all of it before it says so.
    if (Number(request.headers['content-length']) > largest) throw new RequestError('TOO_LARGE', BODY_TOO_LARGE);
    if (underWay >= most) {
      throw new RequestError('RATE_LIMITED', `${most} requests are under way here: try again`, COME_BACK);
    }
    underWay++;
    response.once('close', () => underWay--);
    const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
    if (WITH_BODY.has(request.method ?? '') && type !== 'application/json') throw new MediaTypeError();
    next();
  });
  app.useBodyParser('json', {
    limit: largest,
    strict: false,
    type: (request: IncomingMessage) => (request as { originalUrl?: string }).originalUrl?.startsWith('/v1/') ?? false,
    verify: (_request: IncomingMessage, _response: ServerResponse, body: Buffer) => {
      if (!isUtf8(body)) throw new RequestError('BAD_REQUEST', 'the body is not UTF-8');
    },
  });
}
