/*
 * Connections that are opened and ask nothing, or never finish asking: they are ended before there are too many of them.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** How long a connection may take to ask for something, in ms. Node by itself gives it up to 90 s. */
export const SILENCE = 10_000;
/** How long a request may take to be sent as a whole, in ms. Node looks every 30 s. */
const WHOLE_REQUEST = 30_000;

/** To be called before it listens. */
export function endSilence(server: Server): void {
  const timers = new WeakMap<Socket, NodeJS.Timeout>();
  const asks = ({ socket }: IncomingMessage) => clearTimeout(timers.get(socket));
  server.requestTimeout = WHOLE_REQUEST;
  server.on('connection', (socket: Socket) => {
    const timer = setTimeout(() => socket.destroy(), SILENCE).unref();
    timers.set(socket, timer);
    socket.once('close', () => clearTimeout(timer));
  });
  // Engine.IO takes those for requests away when it is attached, and keeps its own to itself.
  server.once('listening', () => server.on('request', asks).on('upgrade', asks));
}
