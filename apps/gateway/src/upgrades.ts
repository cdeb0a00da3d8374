/*
 * Requests that offer another protocol, as Java's HTTP client and `curl --http2` do with HTTP/2 in each of theirs. A server may
 * pass over the offer; Node instead hands the connection to whoever waits for websockets, and Engine.IO ends it without an answer.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

/** Where Engine.IO answers upgrades itself. */
const WEBSOCKETS = '/socket.io/';
const OFFER: ReadonlySet<string> = new Set(['upgrade', 'connection', 'http2-settings']);

/** Answers such requests as if nothing had been offered. Engine.IO has to leave them alone (`destroyUpgrade: false`). */
export function passOverOffers(server: Server): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url?.startsWith(WEBSOCKETS)) return;
    // Read once more, from its first line on, by a parser that sees no offer: a body may follow.
    socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
    server.emit('connection', socket);
  });
}

function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!OFFER.has(rawHeaders[i]!.toLowerCase())) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
