/*
 * Starts a gateway: one HTTP port for Socket.IO clients and health checks.
 */
import {
  BroadcastClient,
  BroadcastError,
  BroadcastIoAdapter,
  Bus,
  transportOf,
  type Transport,
} from '@app/broadcast/nest';
import { ConsoleLogger, LOG_LEVELS, Logger, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GatewayModule } from './gateway.module.js';
import type { Settings } from './settings.js';

export interface Gateway {
  readonly app: INestApplication;
  /** Where it listens: `http://127.0.0.1:3000`. */
  readonly url: string;
}

/** Up to this size a message that is too large gets a proper refusal; beyond it Engine.IO drops the client, in bytes. */
const SPACIOUS = 1024 * 1024;

/** @throws BroadcastError `BAD_REQUEST` when a gateway with these settings would be of no use */
export function checkSettings({ AUTH_ANONYMOUS }: Settings): void {
  if (AUTH_ANONYMOUS) return;
  const why = 'no client could enter: tokens are not supported yet, and anonymous access is off';
  throw new BroadcastError('BAD_REQUEST', `AUTH_ANONYMOUS: ${why}. Set AUTH_ANONYMOUS=true.`);
}

/**
 * @param transport share one `memory()` between the gateways and workers of a process that are to hear each other
 * @throws BroadcastError `BAD_REQUEST` when the settings cannot work, or the port is in use
 */
export async function startGateway(settings: Settings, transport: Transport = transportOf(settings)): Promise<Gateway> {
  checkSettings(settings);
  const app = await NestFactory.create(GatewayModule.with(settings, transport), {
    logger: new ConsoleLogger({
      logLevels: LOG_LEVELS.slice(LOG_LEVELS.indexOf(settings.LOG_LEVEL)),
      json: settings.NODE_ENV === 'production',
    }),
  });
  const maxHttpBufferSize = Math.max(SPACIOUS, 4 * settings.MAX_MESSAGE_BYTES);
  const transports = settings.CLIENT_TRANSPORTS.split(',') as ('polling' | 'websocket')[];
  const cors = settings.CORS_ORIGINS.includes('*') ? { origin: '*' } : { origin: settings.CORS_ORIGINS };
  app.useWebSocketAdapter(
    new BroadcastIoAdapter(app, { role: 'gateway', strict: true, server: { maxHttpBufferSize, transports, cors } }),
  );
  try {
    await app.listen(settings.PORT, settings.HOST);
  } catch (error) {
    await app.close();
    throw explain(error, settings);
  }
  const url = addressOf(await app.getUrl());
  new Logger('Gateway').log(`${app.get(Bus).instance} listens on ${url}`);
  app
    .get(BroadcastClient)
    .emit('gateway.started', { url })
    .subscribe({ error: () => undefined });
  return { app, url };
}

function explain(error: unknown, { PORT, HOST }: Settings): unknown {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return refuse(`PORT: ${PORT} on ${HOST} is in use: stop what uses it, or choose another.`, error);
    case 'EACCES':
      return refuse(`PORT: this process may not listen on ${PORT}: choose another.`, error);
    case 'ENOTFOUND':
    case 'EADDRNOTAVAIL':
      return refuse(`HOST: ${HOST} is no address of this machine: 0.0.0.0 is all of them.`, error);
    default:
      return error;
  }
}

function refuse(sentence: string, cause: unknown): BroadcastError {
  return new BroadcastError('BAD_REQUEST', sentence, { cause });
}

/** An address that a client on this machine can use. */
function addressOf(url: string): string {
  return url.replace('[::1]', '127.0.0.1').replace('0.0.0.0', '127.0.0.1');
}
