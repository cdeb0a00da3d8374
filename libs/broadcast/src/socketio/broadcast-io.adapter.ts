/*
 * Nest's side of the Socket.IO adapter: `app.useWebSocketAdapter(new BroadcastIoAdapter(app))`, and every gateway of
 * the application is heard on every instance.
 */
import type { INestApplicationContext } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import type { Server, ServerOptions } from 'socket.io';
import { Bus } from '../bus.js';
import { BroadcastError } from '../errors.js';
import { createAdapter, type AdapterOptions } from './adapter.js';

export interface BroadcastIoAdapterOptions extends AdapterOptions {
  /** Options of every Socket.IO server, under those of the gateways' decorators. */
  server?: Partial<ServerOptions>;
}

export class BroadcastIoAdapter extends IoAdapter {
  readonly #adapter: ReturnType<typeof createAdapter>;
  readonly #server: Partial<ServerOptions> | undefined;

  /**
   * @param app an application that imports `BroadcastModule`
   * @throws BroadcastError `BAD_REQUEST` when it does not, and as {@link createAdapter}
   */
  constructor(app: INestApplicationContext, { server, ...options }: BroadcastIoAdapterOptions = {}) {
    super(app);
    this.#adapter = createAdapter(busOf(app), options);
    this.#server = server;
  }

  override createIOServer(port: number, options?: ServerOptions): Server {
    const server = super.createIOServer(port, { ...this.#server, ...options } as ServerOptions);
    server.adapter(this.#adapter);
    return server;
  }
}

/** Looks before it asks: asked for what it does not have, an application of `NestFactory` ends the process. */
function busOf(app: INestApplicationContext): Bus {
  const modules = [...app.get(ModulesContainer).values()];
  if (modules.some(({ providers }) => providers.has(Bus))) return app.get(Bus);
  const what = 'BroadcastIoAdapter needs the Bus of the application';
  throw new BroadcastError('BAD_REQUEST', `${what}: import BroadcastModule.forRoot() in its root module`);
}
