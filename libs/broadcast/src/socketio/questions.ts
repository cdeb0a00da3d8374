/*
 * What one server asks of the others: each of those that are there answers once, or in parts; a question ends when all
 * of them have, when its time is up, or when those that have not are no longer there.
 */
import { BroadcastError } from '../errors.js';
import type { Departure } from '../membership.js';
import { ulid } from '../ulid.js';

export interface Question<T> {
  /** Ids of the members that are to answer. */
  of: Iterable<string>;
  /** How long to wait, in ms. */
  timeout: number;
  /** Sends it, with the id that answers must carry. */
  send: (id: string) => Promise<void>;
  /** Whether what comes is an answer. @default anything is */
  fits?: (value: unknown) => boolean;
  /** Hears every part of an answer as it comes. */
  part?: (value: T, from: string, last: boolean) => void;
  /** Somebody will not answer any more. */
  left?: (from: string) => void;
}

export interface Outcome<T> {
  /** One of each member that has answered; the last part, if it came in parts. */
  answers: T[];
  /** Ids of those that are there, as far as anybody knows, and have not answered. */
  silent: string[];
  /** Ids of those that will not answer any more: they went without a goodbye, or said what is no answer. */
  gone: string[];
  /** Why the question could not be sent. Then nobody has answered. */
  failure?: Error;
}

interface Open {
  readonly awaited: Set<string>;
  answered(from: string, value: unknown, last: boolean): void;
  left(from: string, how: Departure): void;
  finish(failure?: Error): void;
}

/** Those who have not answered after this time, and again each second, are looked for: they may be gone. In ms. */
const PATIENCE = 250;
const NEXT_LOOK = 1_000;

export class Questions {
  /** Questions without all of their answers, by id. */
  readonly open = new Map<string, Open>();
  readonly #check: (member: string) => void;

  /** @param check looks whether a member is still there */
  constructor(check: (member: string) => void) {
    this.#check = check;
  }

  /** Never rejects: what is missing is a part of the outcome. */
  ask<T>({ of, timeout, send, fits = () => true, part, left }: Question<T>): Promise<Outcome<T>> {
    const awaited = new Set(of);
    const outcome: Outcome<T> = { answers: [], silent: [], gone: [] };
    if (awaited.size === 0) return Promise.resolve(outcome);
    const id = ulid();
    return new Promise((resolve) => {
      const look = () => {
        patience = setTimeout(look, NEXT_LOOK);
        for (const member of awaited) this.#check(member);
      };
      let patience = setTimeout(look, PATIENCE);
      const end = setTimeout(() => open.finish(), timeout);
      const open: Open = {
        awaited,
        answered: (from, value, last) => {
          if (!awaited.has(from)) return;
          if (!fits(value)) {
            open.left(from, 'gone');
            throw new BroadcastError('UNREADABLE', `what ${from} answers does not fit the question`);
          }
          if (last) awaited.delete(from);
          part?.(value as T, from, last);
          if (last) outcome.answers.push(value as T);
          if (awaited.size === 0) open.finish();
        },
        left: (from, how) => {
          if (!awaited.delete(from)) return;
          if (how !== 'closed') outcome.gone.push(from);
          left?.(from);
          if (awaited.size === 0) open.finish();
        },
        finish: (failure) => {
          clearTimeout(patience);
          clearTimeout(end);
          this.open.delete(id);
          resolve({ ...outcome, silent: [...awaited], failure });
        },
      };
      this.open.set(id, open);
      send(id).catch((error: Error) => open.finish(error));
    });
  }

  /**
   * Takes in an answer, or a part of one. Late and unknown ones are ignored.
   *
   * @throws BroadcastError `UNREADABLE` for what does not fit the question: who says it is not waited for any more
   */
  answered(id: string, from: string, value: unknown, last: boolean): void {
    this.open.get(id)?.answered(from, value, last);
  }

  /** A member will not answer any more. */
  left(member: string, how: Departure): void {
    for (const open of this.open.values()) open.left(member, how);
  }

  /** Nobody is interested in the answers any more. */
  close(): void {
    for (const open of this.open.values()) open.finish();
  }
}
