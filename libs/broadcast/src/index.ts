/*
 * The door of the library for everyone, with Nest or without: nothing behind it imports Nest. Nest's own is nest.ts.
 */
export { backoff, type BackoffOptions } from './backoff.js';
export { Bus, type BusEvents, type BusState } from './bus.js';
export { type BusOptions } from './bus-options.js';
export { checkQueue } from './job.js';
export type { QueueCounts } from './job-counts.js';
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
  type Rate,
} from './environment.js';
export { nearest } from './nearest.js';
export { unknownVariables } from './unknown-variables.js';
export { decode, decodeArgs, encode, isReservedEvent, NEWER, type Header, type Message } from './envelope.js';
export { BroadcastError, type BroadcastErrorCode } from './errors.js';
export type { PresenceChange } from './rooms/attendance.js';
export {
  Presence,
  type PresenceExchange,
  type PresenceListener,
  type PresenceOptions,
  type RoomPresence,
} from './rooms/presence.js';
export type { EachPublished } from './rooms/each.js';
export {
  FOREVER,
  Moderation,
  type Kick,
  type ModerationOptions,
  type Restricting,
  type Restriction,
  type RestrictionKind,
  type Subject,
} from './rooms/moderation.js';
export {
  Rooms,
  RoomSpeaker,
  type HistoryRequest,
  type Published,
  type Replay,
  type ReplayRequest,
  type RoomHistory,
  type EachMessage,
  type RoomMessage,
  type RoomsOptions,
} from './rooms/rooms.js';
export type { StoredMessage } from './rooms/stored-message.js';
export { POSITION, type Mark, type Position } from './position.js';
export { profileOf, type HistoryOptions, type PresenceSettings, type Profile, type SlowPolicy } from './profiles.js';
export { takeCensus, type CensusOptions, type Counted } from './socketio/census.js';
export { BroadcastAdapter, createAdapter, type AdapterOptions } from './socketio/adapter.js';
export { createEmitter, type Emitter } from './socketio/emitter.js';
export { Exchange, type Answers, type Asking, type ExchangeListener } from './socketio/exchange.js';
export type { Incomplete } from './socketio/others.js';
export type { Telemetry } from './tracing.js';
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
  RecordStore,
  RoomLog,
  StoredRecord,
  Transport,
} from './transport.js';
export { memory } from './transports/memory.js';
export { rabbitmq, type RabbitmqOptions } from './transports/rabbitmq.js';
export { redis, type RedisTransportOptions } from './transports/redis.js';
export { BrokerRefusal, type RefusalReason } from './refusal.js';
export { Failures, type FailureReason } from './failures.js';
export { Timing } from './timing.js';
export { ulid } from './ulid.js';
export { VERSION } from './version.js';
