/*
 * The kinds of control messages that the Nest server and client exchange, and what each carries.
 *
 * A request looks for somebody first and is then sent to that one instance: broadcasting it would have it answered
 * once per instance.
 */
export const EVENT = 'event';
export const REQUEST = 'request';
export const REPLY = 'reply';
export const WHO = 'who';
export const HERE = 'here';
export const CANCEL = 'cancel';

/** `event`: pattern, data. Everybody hears it. */
export type EventArgs = [pattern: string, data: unknown];
/** `who`: request, pattern. Who can answer it? `here`: request. */
export type WhoArgs = [request: string, pattern: string];
export type HereArgs = [request: string];
/** `request`: request, pattern, data. To one instance. */
export type RequestArgs = [request: string, pattern: string, data: unknown];
/** `cancel`: request. Nobody waits for the answer any more. To the instance that was asked. */
export type CancelArgs = [request: string];
/** `reply`: request, and one packet of the answer. */
export type ReplyArgs = [request: string, reply: Reply];

export interface Reply {
  /** Its place in the answer, from 1, without a hole. Instances of earlier versions and other services give none. */
  n?: number;
  response?: unknown;
  err?: unknown;
  isDisposed?: boolean;
  /** No handler has run, and none will: whoever asked may ask another. */
  refused?: boolean;
}

/** Whether nothing of the answer follows. */
export function isLast({ err, isDisposed }: Reply): boolean {
  return isDisposed === true || isError(err);
}

/** Some write `"err":null` where there is none. */
export function isError(err: unknown): boolean {
  return err !== undefined && err !== null;
}
