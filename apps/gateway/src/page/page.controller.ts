/*
 * The page at `/`: rooms seen working, in one pane or in two that sit on two instances. Everything it needs is served from
 * here, out of this folder and the npm packages; its policy lets it load nothing else, and talk to this host alone.
 */
import { Controller, Get, HttpStatus, Inject, NotFoundException, Param, Req, Res } from '@nestjs/common';
import { SETTINGS, type Settings } from '../settings.js';
import { PageFiles, type PageAccess, type PageFile } from './page-files.js';
import { policyOf } from './policy.js';

/** The parts of a request and a response that are needed here. */
interface Request {
  headers: { host?: string; 'accept-encoding'?: string };
  query: { panes?: unknown };
  fresh: boolean;
}

interface Response {
  setHeader(name: string, value: string): unknown;
  status(code: number): Response;
  end(body?: Buffer): unknown;
}

@Controller()
export class PageController {
  readonly #files: PageFiles;
  readonly #origins: readonly string[];

  constructor(@Inject(SETTINGS) settings: Settings) {
    this.#files = new PageFiles(accessOf(settings));
    this.#origins = settings.CORS_ORIGINS;
  }

  @Get()
  page(@Req() request: Request, @Res() response: Response): void {
    const { host = '' } = request.headers;
    const panes = typeof request.query.panes === 'string' ? request.query.panes : '';
    response.setHeader('Content-Security-Policy', policyOf({ host, panes, origins: this.#origins }));
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    this.#send(this.#files.read('index.html'), request, response);
  }

  @Get('page/:file')
  file(@Param('file') name: string, @Req() request: Request, @Res() response: Response): void {
    const file = name === 'index.html' ? undefined : this.#files.read(name);
    if (!file) throw new NotFoundException(`there is no page/${name}`);
    this.#send(file, request, response);
  }

  #send(file: PageFile | undefined, request: Request, response: Response): void {
    if (!file) throw new NotFoundException('the page is not in this build');
    response.setHeader('Content-Type', file.type);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('Cache-Control', 'no-cache');
    response.setHeader('Vary', 'Accept-Encoding');
    response.setHeader('ETag', file.tag);
    if (request.fresh) return void response.status(HttpStatus.NOT_MODIFIED).end();
    const zipped = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    if (zipped) response.setHeader('Content-Encoding', 'gzip');
    const body = zipped ? file.zipped : file.body;
    response.setHeader('Content-Length', String(body.length));
    response.end(body);
  }
}

function accessOf({ AUTH_ANONYMOUS, AUTH_JWT_SECRET, AUTH_JWKS_URL }: Settings): PageAccess {
  if (!AUTH_ANONYMOUS) return 'tokens';
  return AUTH_JWT_SECRET || AUTH_JWKS_URL !== undefined ? 'guests' : 'open';
}
