/*
 * The page's Content-Security-Policy: everything from here, nothing inline, and connections to this gateway and to those
 * its panes sit on. The panes come from the page's address, which anybody can write: they count where they are of the
 * same host, on any port, or an origin that CORS_ORIGINS trusts, lest a link sends somebody's token elsewhere.
 */

export interface PolicyOptions {
  /** The request's: `127.0.0.1:3000`. */
  host: string;
  /** `3000,3001`, or origins such as `http://127.0.0.1:3001`. */
  panes: string;
  /** Those that are trusted beside this host. */
  origins: readonly string[];
}

/** More panes than anybody looks at. */
const MOST = 8;
/** URLs allow more in a host than a policy does: `;` and `*` would change what it says. */
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d+)?$/;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

export function policyOf({ host, panes, origins }: PolicyOptions): string {
  const allowed = [host, ...panes.split(',').slice(0, MOST)]
    .map((address) => hostOf(address, host, origins))
    .filter((found) => found !== undefined);
  // Not every browser takes 'self' for the websockets of the page's own origin.
  const sockets = [...new Set(allowed)].flatMap((each) => [`ws://${each}`, `wss://${each}`]);
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    ["connect-src 'self'", ...sockets].join(' '),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}

/** The host and port of an address that a pane may sit on. */
function hostOf(address: string, own: string, origins: readonly string[]): string | undefined {
  const here = parse(`http://${own}`);
  if (!here) return undefined;
  const text = address.trim();
  const url = /^\d{1,5}$/.test(text)
    ? parse(`http://${here.hostname}:${text}`)
    : parse(/^https?:\/\//.test(text) ? text : `http://${text}`);
  if (!url || !HOST.test(url.host)) return undefined;
  const isLocal = LOOPBACK.includes(here.hostname) && LOOPBACK.includes(url.hostname);
  return url.hostname === here.hostname || isLocal || origins.includes(url.origin) ? url.host : undefined;
}

function parse(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
