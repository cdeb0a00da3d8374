/*
 * The files of the page: its own, and those of Socket.IO's client and of uPlot as their packages bring them. Read when they
 * are first asked for, and kept: all of them are some 150 kB.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  readonly zipped: Buffer;
  /** As an HTTP entity tag. */
  readonly tag: string;
}

const TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** The page's own. Nothing else is read, whatever is asked for. */
const OWN = [
  ...['index.html', 'page.css', 'icon.svg'],
  ...['page.js', 'pane.js', 'session.js', 'talk.js', 'figures.js', 'charts.js', 'addresses.js'],
];
/** Those of packages: the package, and the file in it. */
const PACKAGED: Record<string, readonly [name: string, file: string]> = {
  'socket.io.js': ['socket.io', 'client-dist/socket.io.esm.min.js'],
  'uplot.js': ['uplot', 'dist/uPlot.iife.min.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
};

/** Who may enter: anybody; anybody as a guest, or with a token; whoever has a token. */
export type PageAccess = 'open' | 'guests' | 'tokens';

export class PageFiles {
  readonly #access: PageAccess;
  readonly #read = new Map<string, PageFile>();

  /** @param access what the page says of it */
  constructor(access: PageAccess = 'open') {
    this.#access = access;
  }

  /** `undefined`: there is no such file. */
  read(name: string): PageFile | undefined {
    const path = pathOf(name);
    if (path === undefined) return undefined;
    const known = this.#read.get(name);
    if (known) return known;
    const body = name === 'index.html' ? this.#index(path) : readFileSync(path);
    const file = {
      type: TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
      body,
      zipped: gzipSync(body),
      tag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    };
    this.#read.set(name, file);
    return file;
  }

  #index(path: string): Buffer {
    return Buffer.from(readFileSync(path, 'utf8').replace('data-access="open"', `data-access="${this.#access}"`));
  }
}

function pathOf(name: string): string | undefined {
  if (OWN.includes(name)) return join(import.meta.dirname, 'public', name);
  if (!Object.hasOwn(PACKAGED, name)) return undefined;
  const [packageName, file] = PACKAGED[name]!;
  return join(dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)), file);
}
