/*
 * Nest's side of the Socket.IO adapter: `app.useWebSocketAdapter(new BroadcastIoAdapter(app))`, and every gateway of
 * the application is heard on every instance.
 */
import type { INestApplicationContext } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import type { Server, ServerOptions } from 'socket.io';
import { Bus } from '../bus.js';
import { createAdapter, type AdapterOptions } from './adapter.js';

export interface BroadcastIoAdapterOptions extends AdapterOptions {
  /** Options of every Socket.IO server, under those of the gateways' decorators. */
  server?: Partial<ServerOptions>;
}

export class BroadcastIoAdapter extends IoAdapter {
  readonly #bus: Bus;
  readonly #options: BroadcastIoAdapterOptions;

  /** @param app an application that imports `BroadcastModule` */
  constructor(app: INestApplicationContext, options: BroadcastIoAdapterOptions = {}) {
    super(app);
    this.#bus = app.get(Bus);
    this.#options = options;
  }

  override createIOServer(port: number, options?: ServerOptions): Server {
    const server = super.createIOServer(port, { ...this.#options.server, ...options } as ServerOptions);
    server.adapter(createAdapter(this.#bus, this.#options));
    return server;
  }
}
