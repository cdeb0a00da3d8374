/*
 * Starts a gateway: one HTTP port for Socket.IO clients and health checks.
 */
import {
  BroadcastClient,
  BroadcastError,
  BroadcastIoAdapter,
  Bus,
  transportOf,
  VERSION,
  type Transport,
} from '@app/broadcast/nest';
import { Logger, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createLogger, newInstance } from '../../observability/src/logger.js';
import { checkOrigin } from './access/origins.js';
import { Descriptors } from './descriptors.js';
import { serveDocs } from './docs/docs.js';
import { CONNECT_TIMEOUT } from './entrance.js';
import { GatewayModule } from './gateway.module.js';
import { prepareApi } from './http/api.js';
import { checkPort, explainPort } from './port.js';
import { RequestLog } from './request.log.js';
import type { Settings } from './settings.js';
import { endSilence } from './silence.js';
import { passOverOffers } from './upgrades.js';

export interface Gateway {
  readonly app: INestApplication;
  /** Where it listens: `http://127.0.0.1:3000`. */
  readonly url: string;
}

/** Up to this size a message that is too large gets a proper refusal; beyond it Engine.IO drops the client, in bytes. */
const SPACIOUS = 1024 * 1024;

/** @throws BroadcastError `BAD_REQUEST` when a gateway with these settings would be of no use */
export function checkSettings({ AUTH_ANONYMOUS, AUTH_JWT_SECRET, AUTH_JWKS_URL }: Settings): void {
  if (AUTH_ANONYMOUS || AUTH_JWT_SECRET || AUTH_JWKS_URL !== undefined) return;
  const how = 'set AUTH_JWT_SECRET or AUTH_JWKS_URL, or AUTH_ANONYMOUS=true to let everybody in';
  throw new BroadcastError('BAD_REQUEST', `AUTH_JWT_SECRET: no client could enter: ${how}.`);
}

/**
 * @param transport share one `memory()` between the gateways and workers of a process that are to hear each other
 * @throws BroadcastError `BAD_REQUEST` when the settings cannot work, or the port is in use
 */
export async function startGateway(settings: Settings, transport: Transport = transportOf(settings)): Promise<Gateway> {
  checkSettings(settings);
  await checkPort(settings);
  const { INSTANCE_ID = newInstance() } = settings;
  const app = await NestFactory.create<NestExpressApplication>(
    GatewayModule.with({ ...settings, INSTANCE_ID }, transport),
    { bodyParser: false, abortOnError: false, logger: createLogger(settings, INSTANCE_ID) },
  );
  prepareApi(app, settings);
  serveDocs(app, VERSION);
  if (Logger.isLevelEnabled('debug')) app.useGlobalInterceptors(new RequestLog());
  const maxHttpBufferSize = Math.max(SPACIOUS, 4 * settings.MAX_MESSAGE_BYTES);
  const transports = settings.CLIENT_TRANSPORTS.split(',') as ('polling' | 'websocket')[];
  const cors = settings.CORS_ORIGINS.includes('*') ? { origin: '*' } : { origin: settings.CORS_ORIGINS };
  app.useWebSocketAdapter(
    new BroadcastIoAdapter(app, {
      role: 'gateway',
      strict: true,
      coalesce: settings.COALESCE_MS,
      slowClientBytes: settings.SLOW_CLIENT_BYTES,
      server: {
        ...{ maxHttpBufferSize, transports, cors, connectTimeout: CONNECT_TIMEOUT },
        allowRequest: checkOrigin(settings.CORS_ORIGINS),
        destroyUpgrade: false,
      },
    }),
  );
  app.get(Descriptors).guard(app.getHttpServer());
  endSilence(app.getHttpServer());
  passOverOffers(app.getHttpServer());
  try {
    await app.listen(settings.PORT, settings.HOST);
  } catch (error) {
    await app.close();
    throw explainPort(error, settings);
  }
  const url = addressOf(await app.getUrl());
  new Logger('Gateway').log(`${app.get(Bus).instance} listens on ${url}`);
  app
    .get(BroadcastClient)
    .emit('gateway.started', { url })
    .subscribe({ error: () => undefined });
  return { app, url };
}

/** An address that a client on this machine can use. */
function addressOf(url: string): string {
  return url.replace('[::1]', '127.0.0.1').replace('0.0.0.0', '127.0.0.1');
}
