/*
 * /docs: both documents, and a page that shows and tries the HTTP API. All of it comes from here and from packages that are
 * installed; the page asks nobody else for anything.
 */
import type { NestExpressApplication } from '@nestjs/platform-express';
import { SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { asyncapi } from './asyncapi.js';
import { openapi } from './openapi.js';

/** To be called before the routes are there. */
export function serveDocs(app: NestExpressApplication, version: string): void {
  const document = openapi(version);
  serveJson(app, '/docs/openapi.json', document);
  serveJson(app, '/docs/asyncapi.json', asyncapi(version));
  SwaggerModule.setup('docs', app, document as unknown as OpenAPIObject, {
    customSiteTitle: 'Roomcast: HTTP API',
    // Its default validator is a service elsewhere.
    swaggerOptions: { validatorUrl: null, persistAuthorization: false },
    raw: false,
  });
}

function serveJson(app: NestExpressApplication, path: string, document: object): void {
  const body = JSON.stringify(document, undefined, 2);
  app.getHttpAdapter().get(path, (_request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.end(body);
  });
}
