/*
 * The library as a Nest module: builds the bus, brings it up before anything listens, takes it down after everything
 * else, and tells the log about outages.
 */
import {
  Logger,
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { Bus } from './bus.js';
import type { BusOptions } from './bus-options.js';
import { optionsOf, readEnvironment, transportOf } from './environment.js';
import type { BroadcastError } from './errors.js';
import { Jobs } from './jobs.js';
import { BroadcastClient } from './nest/broadcast.client.js';
import { Rooms, type RoomsOptions } from './rooms/rooms.js';
import type { Transport } from './transport.js';

export interface BroadcastModuleOptions extends BusOptions, RoomsOptions {
  /** Which broker. Share one `memory()` between the applications of a process that are to hear each other. */
  transport: Transport;
  /** How long the start waits for the broker, in ms; then the application starts without it. @default 3_000 */
  startTimeout?: number;
  /** Takes what the module has to say, in place of Nest's logger, which is given the code of an error and no other field. */
  log?: (level: 'log' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

export interface BroadcastModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  inject?: FactoryProvider['inject'];
  useFactory: (...dependencies: never[]) => BroadcastModuleOptions | Promise<BroadcastModuleOptions>;
}

/** The options that the module was given. */
export const BROADCAST_OPTIONS = Symbol('BROADCAST_OPTIONS');

/** Connects the bus first and closes it last. */
class BusLifecycle implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger('Broadcast');
  readonly #bus: Bus;
  readonly #startTimeout: number;
  readonly #log: NonNullable<BroadcastModuleOptions['log']>;

  constructor(bus: Bus, { startTimeout = 3_000, log }: BroadcastModuleOptions) {
    this.#bus = bus;
    this.#startTimeout = startTimeout;
    this.#log = this.#log =
      log ??
      ((level, message, { code }) => this.#logger[level](typeof code === 'string' ? `${message} [${code}]` : message));
  }

  async onModuleInit(): Promise<void> {
    const { name } = this.#bus.transport;
    this.#bus.on('error', ({ message, code, about }) => this.#log('error', message, { code, ...about }));
    this.#bus.on('blocked', (on, why) => {
      const takesNone = `${name} takes no messages${why === undefined ? '' : `: ${why}`}`;
      // Without a link it is not known.
      if (on || this.#bus.state === 'up')
        this.#log('warn', on ? takesNone : `${name} takes messages again`, { blocked: on });
    });
    this.#bus.on('state', (state) => {
      if (state === 'up') this.#log('log', `${name} is up: ${this.#bus.wanted} channel(s) acknowledged`, { state });
    });
    // A broker that is down was told by the bus, which goes on trying; the application starts all the same.
    await this.#bus.connect(this.#startTimeout).catch((error: BroadcastError) => {
      if (error.code === 'DRIVER_MISSING') throw error;
      this.#log('warn', error.message, { code: error.code });
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#bus.close();
  }
}

@Module({})
export class BroadcastModule {
  /** @param options default: the transport that `BROADCAST_TRANSPORT` names, see environment.ts */
  static forRoot(options: BroadcastModuleOptions = fromEnvironment()): DynamicModule {
    return define({ provide: BROADCAST_OPTIONS, useValue: options });
  }

  static forRootAsync({ imports, inject, useFactory }: BroadcastModuleAsyncOptions): DynamicModule {
    return { ...define({ provide: BROADCAST_OPTIONS, inject, useFactory } as FactoryProvider), imports };
  }
}

function define(options: FactoryProvider | { provide: symbol; useValue: BroadcastModuleOptions }): DynamicModule {
  return {
    module: BroadcastModule,
    global: true,
    providers: [
      options,
      {
        provide: Bus,
        inject: [BROADCAST_OPTIONS],
        useFactory: busOf,
      },
      {
        provide: BusLifecycle,
        inject: [Bus, BROADCAST_OPTIONS],
        useFactory: (bus: Bus, options: BroadcastModuleOptions) => new BusLifecycle(bus, options),
      },
      {
        provide: Rooms,
        inject: [Bus, BROADCAST_OPTIONS],
        useFactory: (bus: Bus, options: BroadcastModuleOptions) => new Rooms(bus, options),
      },
      { provide: Jobs, inject: [Bus], useFactory: (bus: Bus) => bus.jobs },
      { provide: BroadcastClient, inject: [Bus], useFactory: (bus: Bus) => new BroadcastClient(bus) },
    ],
    exports: [Bus, Rooms, Jobs, BroadcastClient, BROADCAST_OPTIONS],
  };
}

/** What is left is for the bus, which refuses what it does not know. */
function busOf({ transport, startTimeout: _, log: _log, maxMessageBytes: _bytes, ...options }: BroadcastModuleOptions) {
  return new Bus(transport, options);
}

function fromEnvironment(): BroadcastModuleOptions {
  const environment = readEnvironment();
  return {
    transport: transportOf(environment),
    ...optionsOf(environment),
  };
}
