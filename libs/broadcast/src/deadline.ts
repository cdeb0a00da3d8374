/*
 * Nothing waits for ever: a promise with a bound around it.
 */
import { BroadcastError } from './errors.js';

/**
 * Settles like `work`, or rejects with `TIMEOUT` after `ms` milliseconds. The work itself is not stopped; a late
 * rejection of it is swallowed here, since nobody is left to hear it.
 *
 * @param what names the work in the error: "subscribing 3 channels"
 */
export function deadline<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new BroadcastError('TIMEOUT', `${what} took longer than ${ms} ms`)), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Resolves after `ms` milliseconds, or as soon as `signal` is aborted. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
