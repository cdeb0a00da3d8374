/*
 * Everything Roomcast itself complains about, as one class with a stable code. Broker libraries' own errors travel as
 * `cause`.
 */
import { inspect } from 'node:util';

/**
 * What went wrong, in a word that programs may compare:
 *
 * - `UNAVAILABLE`: the broker could not be reached in time. Nothing was sent.
 * - `UNCERTAIN`: sent, but the link was lost or the deadline passed before the broker answered: it may have arrived.
 * - `OVERLOADED`: too much is waiting already. Nothing was sent.
 * - `NO_LISTENER`: the instance or handler that it was meant for is not there.
 * - `TIMEOUT`: no answer in time.
 * - `CLOSED`: the bus has been closed.
 * - `UNREADABLE`: a received message is not in a known format.
 * - `UNTRUSTED`: a received message is not signed where it has to be, wrongly signed, too old, or was replayed.
 * - `BAD_REQUEST`: an argument or a setting is wrong.
 * - `TOO_LARGE`: the message is larger than the limit that was set.
 * - `LINK_LOST`: the connection to the broker broke; the bus is opening another.
 * - `LISTENER_FAILED`: application code threw while it handled a message.
 * - `DRIVER_MISSING`: the library of the chosen broker is not installed.
 */
export type BroadcastErrorCode =
  | 'UNAVAILABLE'
  | 'UNCERTAIN'
  | 'OVERLOADED'
  | 'NO_LISTENER'
  | 'TIMEOUT'
  | 'CLOSED'
  | 'UNREADABLE'
  | 'UNTRUSTED'
  | 'BAD_REQUEST'
  | 'TOO_LARGE'
  | 'LINK_LOST'
  | 'LISTENER_FAILED'
  | 'DRIVER_MISSING';

/** What an error is about, where that is known: fields of a log. */
export interface About {
  readonly room?: string;
  readonly id?: string;
  readonly queue?: string;
}

/** Messages begin with what failed and end with what to do, where something can be done. */
export class BroadcastError extends Error {
  override readonly name = 'BroadcastError';
  readonly about: About;

  constructor(
    readonly code: BroadcastErrorCode,
    message: string,
    { about = {}, ...options }: ErrorOptions & { about?: About } = {},
  ) {
    super(message, options);
    this.about = about;
  }
}

/** Whatever was thrown, as an `Error` with a text for a message. Never throws. */
export function toError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error && typeof thrown.message === 'string') return thrown;
    const code = codeOf(thrown);
    return Object.assign(new Error(textOf(thrown), { cause: thrown }), code === undefined ? {} : { code });
  } catch {
    // A getter or a proxy that throws.
    return new Error('something was thrown that cannot be shown', { cause: thrown });
  }
}

/** The `code` of what was thrown, if it has one. Never throws. */
export function codeOf(thrown: unknown): unknown {
  try {
    return (thrown as { code?: unknown } | null | undefined)?.code;
  } catch {
    return undefined;
  }
}

/** An object says what its message is, and without one what it is. */
function textOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  const { name, message } = thrown as { name?: unknown; message?: unknown };
  if (typeof message === 'string') return message;
  if (thrown instanceof Error && message === undefined) return String(name);
  return inspect(message ?? thrown, { depth: 3, breakLength: Infinity });
}
