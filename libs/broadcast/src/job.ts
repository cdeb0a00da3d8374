/*
 * A job as it travels: the JSON packet of Nest's own clients, `{"pattern":"room.publish","data":…}`, with an `id` if its
 * sender chose one. So any of those clients, or any language, can enqueue.
 */
import { BroadcastError } from './errors.js';

export interface JobPacket {
  readonly pattern: string;
  readonly data: unknown;
  readonly id?: string;
  /** The trace that it is a part of, as W3C's `traceparent`. */
  readonly traceparent?: string;
}

const LONGEST_ID = 200;
/** What AMQP has room for. */
const LONGEST_ID_BYTES = 255;

/** @throws BroadcastError `BAD_REQUEST` */
export function encodeJob({ pattern, data, id, traceparent }: JobPacket): Buffer {
  if (typeof pattern !== 'string' || pattern === '') {
    throw new BroadcastError('BAD_REQUEST', 'the pattern of a job has to be a string, and not empty');
  }
  let text: string;
  try {
    // What is undefined is left out.
    text = JSON.stringify({ pattern, data: data === undefined ? null : data, id, traceparent });
  } catch (cause) {
    throw new BroadcastError('BAD_REQUEST', 'the data of a job has to be something that JSON can carry', { cause });
  }
  return Buffer.from(text);
}

/** @throws BroadcastError `UNREADABLE` */
export function decodeJob(body: Buffer): JobPacket {
  const packet = parse(body);
  if (packet === undefined) {
    throw new BroadcastError('UNREADABLE', 'not a job: expected JSON such as {"pattern":"room.publish","data":{}}');
  }
  return packet;
}

/** The id that its sender gave a job. Without one, it goes by what the broker calls it. */
export function idInside(body: Buffer): string | undefined {
  const id = parse(body)?.id;
  return id !== undefined && isJobId(id) ? id : undefined;
}

export function isJobId(id: unknown): id is string {
  if (typeof id !== 'string' || id.length < 1 || id.length > LONGEST_ID) return false;
  return Buffer.byteLength(id) <= LONGEST_ID_BYTES;
}

/** Names that are free of what brokers put around them: no queue can be taken for the dead letters of another one. */
export function checkQueue(queue: string): string {
  if (typeof queue === 'string' && /^[\w.:-]{1,100}$/.test(queue) && !/\.(dead|retry\.\d+)$/.test(queue)) return queue;
  const expected = 'expected 1 to 100 of A-Z a-z 0-9 _ . : -, not ending in .dead or .retry.<number>';
  throw new BroadcastError('BAD_REQUEST', `the queue ${JSON.stringify(queue)} is not valid: ${expected}`);
}

/** Nest's clients send a pattern that is not a string as JSON text in a string of its own. */
function parse(body: Buffer): JobPacket | undefined {
  try {
    const packet: unknown = JSON.parse(body.toString());
    if (typeof packet !== 'object' || packet === null) return undefined;
    const { pattern, data, id, traceparent } = packet as Record<string, unknown>;
    if (typeof pattern !== 'string') return undefined;
    return {
      pattern,
      data,
      ...(typeof id === 'string' && { id }),
      ...(typeof traceparent === 'string' && { traceparent }),
    };
  } catch {
    return undefined;
  }
}
