/*
 * The door of the library for everyone, with Nest or without: nothing behind it imports Nest. Nest's own is nest.ts.
 */
export { backoff, type BackoffOptions } from './backoff.js';
export { Bus, type BusEvents, type BusOptions, type BusState } from './bus.js';
export type { Job, JobConsumer, JobHandler, WorkOptions } from './job-consumer.js';
export type { DeadJob, DeadSelection, JobQueues, QueueStats } from './job-queues.js';
export { Jobs, type JobOptions } from './jobs.js';
export type { Departure, Member } from './membership.js';
export { looksLikeSocketId } from './routing.js';
export {
  APP_DEFAULTS,
  createBus,
  optionsOf,
  readEnvironment,
  showEnvironment,
  transportOf,
  type Environment,
} from './environment.js';
export { decode, decodeArgs, encode, isReservedEvent, NEWER, type Header, type Message } from './envelope.js';
export { BroadcastError, type BroadcastErrorCode } from './errors.js';
export {
  Rooms,
  RoomSpeaker,
  type HistoryRequest,
  type Published,
  type Replay,
  type ReplayRequest,
  type RoomHistory,
  type RoomMessage,
  type RoomsOptions,
} from './rooms/rooms.js';
export type { StoredMessage } from './rooms/stored-message.js';
export { POSITION, type Mark, type Position } from './position.js';
export type { HistoryOptions, Profile, SlowPolicy } from './profiles.js';
export { BroadcastAdapter, createAdapter, type AdapterOptions } from './socketio/adapter.js';
export { createEmitter, type Emitter } from './socketio/emitter.js';
export type { Incomplete } from './socketio/others.js';
export type { DeliveryCounts } from './socketio/outbox.js';
export type { Listener, Subscription } from './subscriptions.js';
export type {
  AppendOptions,
  Channel,
  Features,
  Link,
  LinkEvents,
  LogEntry,
  LogPage,
  OpenOptions,
  ReadOptions,
  RoomLog,
  Transport,
} from './transport.js';
export { memory } from './transports/memory.js';
export { rabbitmq, type RabbitmqOptions } from './transports/rabbitmq.js';
export { redis, type RedisTransportOptions } from './transports/redis.js';
export { ulid } from './ulid.js';
