/*
 * A small HTTP port for those who run the app, apart from that of its clients: metrics and health.
 */
import { Logger } from '@nestjs/common';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BroadcastError } from '@app/broadcast';
import type { Health } from './health.js';
import type { Metrics } from './metrics.js';

export interface OperationsOptions {
  /** 0: a free one. */
  port: number;
  host: string;
}

export class OperationsServer {
  readonly #server: Server;
  readonly #logger = new Logger('Operations');

  readonly #options?: OperationsOptions;

  /** @param options without them nothing is opened */
  constructor(metrics: Metrics, health: Health, options?: OperationsOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      answer(request, response, metrics, health).catch((error: unknown) => {
        this.#logger.error(error);
        if (!response.headersSent) response.writeHead(500);
        response.end();
      });
    });
  }

  /** Nest calls it at the start of an application. @throws BroadcastError `BAD_REQUEST` when the port cannot be had */
  async onApplicationBootstrap(): Promise<void> {
    if (!this.#options) return;
    const { port, host } = this.#options;
    try {
      this.#server.listen(port, host);
      await once(this.#server, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new BroadcastError('BAD_REQUEST', `METRICS_PORT: cannot listen on ${port} of ${host} (${code}).`, {
        cause,
      });
    }
    const { port: taken } = this.#server.address() as AddressInfo;
    this.#logger.log(`metrics and health on http://${host}:${taken}`);
  }

  /** Nest calls it when everything else has ended: until then somebody may want to know how that goes. */
  async onApplicationShutdown(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, metrics: Metrics, health: Health) {
  const [path] = (request.url ?? '').split('?', 1);
  switch (path) {
    case '/metrics':
      response.setHeader('content-type', metrics.contentType);
      return response.end(await metrics.text());
    case '/health/live':
      return json(response, 200, health.live());
    case '/health/ready': {
      const { ready, body } = health.ready();
      return json(response, ready ? 200 : 503, body);
    }
    default:
      return json(response, 404, {
        error: { code: 'NOT_FOUND', message: 'expected /metrics, /health/live or /health/ready' },
      });
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
