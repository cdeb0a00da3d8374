/*
 * The answer to one request while it is being given: numbers its parts, and ends when one of them cannot be sent, or when
 * nobody is there to hear it. Whoever asked is told why.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Subject } from 'rxjs';
import type { Control } from '../control.js';
import { BroadcastError, toError } from '../errors.js';
import { isLast, REPLY, type Reply } from './wire.js';

export interface Asked {
  readonly request: string;
  readonly subject: string;
  /** The instance that asked. */
  readonly by: string;
}

export type AnswerLog = (level: 'error' | 'warn' | 'debug', message: string) => void;

/** Whoever asked may be on its way back to the broker: the end of an answer is said again after these, in ms. */
const AGAIN = [500, 1_500, 4_000];

export class Answer {
  readonly asked: Asked;
  /** Nobody waits for the rest. */
  readonly ended = new Subject<void>();
  readonly #control: Control;
  readonly #log: AnswerLog;
  #said = 0;
  #over = false;

  constructor(control: Control, asked: Asked, log: AnswerLog) {
    this.#control = control;
    this.asked = asked;
    this.#log = log;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Says one part. Resolves when the next may be said: what cannot be sent at all is known by then. Never rejects. */
  async say(reply: Reply): Promise<void> {
    if (this.#over) return;
    // Whatever is thrown is an error, also `undefined`.
    const part = 'err' in reply && !reply.err ? { ...reply, err: { message: 'Internal server error' } } : reply;
    const last = isLast(part);
    if (last) this.#over = true;
    this.#send(part, last).catch((error: unknown) => this.#failed(toError(error), last));
    await new Promise<void>((resolve) => process.nextTick(resolve));
  }

  /** Says no more. */
  end(): void {
    this.#over = true;
    this.ended.next();
  }

  async #send(part: Reply, last: boolean): Promise<void> {
    const { by: instance, request } = this.asked;
    const numbered = { n: ++this.#said, ...part };
    for (const wait of last ? AGAIN : []) {
      try {
        return await this.#control.send({ instance }, { kind: REPLY }, [request, numbered]);
      } catch (error) {
        if (!isPassing(error)) throw error;
        await sleep(wait, undefined, { ref: false });
      }
    }
    await this.#control.send({ instance }, { kind: REPLY }, [request, numbered]);
  }

  #failed(error: Error, last: boolean): void {
    const { subject, by } = this.asked;
    const code = error instanceof BroadcastError ? error.code : undefined;
    if (code === 'CLOSED' || (last && isPassing(error))) {
      return this.#log('debug', `the answer to "${subject}" did not reach ${by}: ${error.message}`);
    }
    // It may have arrived. If it has not, whoever asked misses its number.
    if (code === 'UNCERTAIN' || (this.#over && !last)) return;
    this.end();
    if (isPassing(error)) {
      this.#log('debug', `${by}, which asked "${subject}", is not there: ${error.message}`);
      return this.#conclude('LINK_LOST', `parts of the answer to "${subject}" were lost: ask again`);
    }
    const message = `the answer to "${subject}" cannot be sent: ${error.message}`;
    this.#log('error', message);
    this.#conclude(code, message);
  }

  #conclude(code: string | undefined, message: string): void {
    this.#send({ err: { code, message }, isDisposed: true }, true).catch((error: unknown) =>
      this.#log('debug', `${this.asked.by} was not told that ${message}: ${toError(error).message}`),
    );
  }
}

/** Whether it may be otherwise in a moment: the link, or whoever asked, is away. */
function isPassing(error: unknown): boolean {
  return error instanceof BroadcastError && ['NO_LISTENER', 'UNAVAILABLE', 'UNCERTAIN'].includes(error.code);
}
