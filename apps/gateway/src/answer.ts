/*
 * What every request is answered with: `{ ok: true, … }`, or `{ ok: false, error }` with one of a few codes.
 */
import { BroadcastError } from '@app/broadcast';

/** docs/errors.md says of each what causes it, and what to do. */
export const ANSWER_CODES = [
  'BAD_REQUEST',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_IN_ROOM',
  'NOT_FOUND',
  'TOO_LARGE',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'INTERNAL',
] as const;

export type AnswerCode = (typeof ANSWER_CODES)[number];

export interface Refusal {
  ok: false;
  error: {
    code: AnswerCode;
    message: string;
    /** When to try again, in ms. */
    retryAfter?: number;
  };
}

/** A request that is refused, and why. */
export class RequestError extends Error {
  constructor(
    readonly code: AnswerCode,
    message: string,
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Whether a client waits for an answer: Socket.IO passes the way to give one as the last argument. */
export function isAck(argument: unknown): argument is (answer: Refusal) => void {
  return typeof argument === 'function';
}

/**
 * Socket.IO writes an answer as JSON when it is given. Where that fails (it is too long for a text, for example) the client
 * is told so: what is thrown here is thrown into Nest's stream of answers, and ends the process.
 *
 * @param failed told why
 */
export function guarded(ack: (answer: Refusal) => void, failed: (error: unknown) => void): (answer: Refusal) => void {
  return (answer) => {
    try {
      ack(answer);
    } catch (error) {
      failed(error);
      ack(refusalOf(error));
    }
  };
}

/** How long a client should wait before it asks again while the broker is away, in ms. */
export const RETRY_AFTER = 2_000;

/** The refusal that a thrown value stands for. What was not foreseen is `INTERNAL`, and its details stay here. */
export function refusalOf(thrown: unknown): Refusal {
  const { code, message, retryAfter } = thrown instanceof RequestError ? thrown : translate(thrown);
  return { ok: false, error: { code, message, ...(retryAfter !== undefined && { retryAfter }) } };
}

function translate(thrown: unknown): RequestError {
  if (!(thrown instanceof BroadcastError)) return new RequestError('INTERNAL', 'the server failed to do this');
  switch (thrown.code) {
    case 'BAD_REQUEST':
    case 'TOO_LARGE':
      return new RequestError(thrown.code, thrown.message);
    case 'UNAVAILABLE':
    case 'OVERLOADED':
    case 'TIMEOUT':
    case 'CLOSED':
      return new RequestError('UNAVAILABLE', thrown.message, RETRY_AFTER);
    case 'UNCERTAIN':
      return new RequestError('UNAVAILABLE', `${thrown.message}; send it again with the same id`, RETRY_AFTER);
    default:
      return new RequestError('INTERNAL', 'the server failed to do this');
  }
}
