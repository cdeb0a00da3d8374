/*
 * `@OnBroadcast(pattern)`: every instance hears it.
 */
import { EventPattern } from '@nestjs/microservices';

/** Marks handlers as Roomcast's in applications that also listen to other transports. */
export const BROADCAST_TRANSPORT = Symbol('BROADCAST_TRANSPORT');

/**
 * The method runs on every instance, for every message that the pattern stands for: `order.created`, `order.*` (one
 * word), `order.#` (any number of words). Where several handlers match, all of them run.
 */
export function OnBroadcast(pattern: string): MethodDecorator {
  return EventPattern<string>(pattern, BROADCAST_TRANSPORT);
}
