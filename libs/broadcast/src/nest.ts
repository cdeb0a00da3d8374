/*
 * The door of the library for Nest applications: what needs Nest, and everything of index.ts, so that one import does.
 */
export * from './index.js';
export {
  BROADCAST_OPTIONS,
  BroadcastModule,
  type BroadcastModuleAsyncOptions,
  type BroadcastModuleOptions,
} from './broadcast.module.js';
export { BroadcastClient, RemoteError, type BroadcastClientOptions } from './nest/broadcast.client.js';
export { BroadcastContext } from './nest/broadcast.context.js';
export { BroadcastServer, type BroadcastServerOptions } from './nest/broadcast.server.js';
export { JobContext } from './nest/job.context.js';
export { BROADCAST_TRANSPORT, OnBroadcast } from './nest/on-broadcast.decorator.js';
export { OnJob, type OnJobOptions } from './nest/on-job.decorator.js';
export { matches } from './nest/pattern.js';
export { run } from './run.js';
export { BroadcastIoAdapter, type BroadcastIoAdapterOptions } from './socketio/broadcast-io.adapter.js';
