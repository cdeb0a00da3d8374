/*
 * A real Chromium, without a window, that talks to this machine alone. It does not install it: scripts/prerequisites.mjs
 * does.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type BrowserContextOptions } from 'playwright-core';
import { findBinary } from '../brokers/binaries.js';

export interface Browser {
  /** A browser of its own, with nothing stored. What the page reports as an error is in `errors`. */
  open(options?: BrowserContextOptions): Promise<{ context: BrowserContext; errors: string[] }>;
  close(): Promise<void>;
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const MAC = ['Chromium', 'Google Chrome'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);

export async function startBrowser(): Promise<Browser> {
  const home = mkdtempSync(join(tmpdir(), 'roomcast-browser-'));
  const browser = await chromium.launch({
    executablePath: findChromium(),
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
  return {
    open: async (options) => {
      const context = await browser.newContext(options);
      const errors: string[] = [];
      context.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      context.on('weberror', (error) => errors.push(error.error().message));
      return { context, errors };
    },
    close: async () => {
      await browser.close();
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function findChromium(): string {
  const found = MAC.find((path) => existsSync(path));
  if (found !== undefined) return found;
  for (const name of NAMES) {
    try {
      return findBinary(name);
    } catch {
      continue;
    }
  }
  throw new Error('Chromium was not found. Install it, or run "npm test", which does.');
}
