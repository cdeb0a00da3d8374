/*
 * One thing that was looked at, and what was found.
 */
export type Status = 'ok' | 'warn' | 'fail' | 'unknown';

export interface Check {
  readonly name: string;
  readonly status: Status;
  /** What was found. */
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}

export function ok(name: string, found: string): Check {
  return { name, status: 'ok', found };
}

export function warn(name: string, found: string, advice: string): Check {
  return { name, status: 'warn', found, advice };
}

export function fail(name: string, found: string, advice: string): Check {
  return { name, status: 'fail', found, advice };
}

/** It could not be looked at; that is no fault. */
export function unknown(name: string, found: string): Check {
  return { name, status: 'unknown', found };
}

/** What a broker says, without what its library puts around it. */
export function messageOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string | number };
  if (message?.startsWith('Expected ConnectionOpenOk; got <ConnectionClose'))
    return 'the vhost is refused (NOT_ALLOWED)';
  const [, said] = /with message "(.*)"/.exec(message ?? '') ?? [];
  return said ?? (message || String(code ?? error));
}
