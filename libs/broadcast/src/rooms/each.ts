/*
 * One message to each of many rooms: encoded once, a bounded number of rooms at a time, with an outcome for every room.
 */
import type { Bus } from '../bus.js';
import { BroadcastError, toError } from '../errors.js';
import { BrokerRefusal } from '../refusal.js';
import type { Position } from '../position.js';

/** What has become of the message in one room. */
export interface EachPublished {
  room: string;
  /** Its place in the log of a room with history. */
  pos?: Position;
  /** Why it was not published, or may not have been. */
  error?: Error;
}

/** Rooms that are published to at a time. */
const CONCURRENCY = 256;
/** What the next room would be told too, after a wait: those that have not been tried yet are told at once. */
const HOPELESS: ReadonlySet<string> = new Set(['UNAVAILABLE', 'OVERLOADED', 'CLOSED']);

/**
 * @param rooms each named once
 * @param payload an envelope that names no room: the channel does
 * @returns outcomes in the order of the rooms. Never rejects
 */
export async function publishToEach(
  bus: Bus,
  rooms: readonly string[],
  payload: Buffer,
  id: string,
): Promise<EachPublished[]> {
  const outcomes: EachPublished[] = rooms.map((room) => ({ room }));
  const left = outcomes.values();
  let hopeless: Error | undefined;
  const publish = async (outcome: EachPublished) => {
    const { room } = outcome;
    try {
      if (hopeless) throw hopeless;
      const isKept = bus.logs.historyOf(room) !== undefined;
      const pos = isKept ? await bus.logs.append(room, payload, id) : await bus.publish(`room:${room}`, payload);
      if (pos !== undefined) outcome.pos = pos;
    } catch (thrown) {
      outcome.error = toError(thrown);
      if (isHopeless(thrown)) hopeless ??= thrown;
    }
  };
  const publishing = Array.from({ length: Math.min(CONCURRENCY, rooms.length) }, async () => {
    for (const outcome of left) await publish(outcome);
  });
  await Promise.all(publishing);
  return outcomes;
}

/** What the broker refuses for good may be about this room alone. */
function isHopeless(thrown: unknown): thrown is BroadcastError {
  if (thrown instanceof BrokerRefusal) return thrown.passing;
  return thrown instanceof BroadcastError && HOPELESS.has(thrown.code);
}
