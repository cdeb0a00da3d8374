/*
 * The answers that are being given here. Ends those whose asker says that it waits no more, and those whose asker is gone:
 * a stream may be silent, so that nothing which it says would show that nobody hears it.
 */
import type { Control } from '../control.js';
import { BroadcastError } from '../errors.js';
import { Answer, type AnswerLog, type Asked } from './answer.js';

export interface AnswersOptions {
  /** Time between two looks whether those who asked are there, in ms. Gone is who is not there twice in a row. */
  interval: number;
}

export class Answers {
  readonly #control: Control;
  readonly #log: AnswerLog;
  readonly #interval: number;
  readonly #running = new Map<string, Answer>();
  /** Instances that were not there at the last look. */
  #missing = new Set<string>();
  #timer?: NodeJS.Timeout;

  constructor(control: Control, { interval }: AnswersOptions, log: AnswerLog) {
    this.#control = control;
    this.#interval = interval;
    this.#log = log;
  }

  begin(asked: Asked): Answer {
    const answer = new Answer(this.#control, asked, this.#log);
    this.#running.set(asked.request, answer);
    this.#timer ??= setInterval(() => void this.#look(), this.#interval).unref();
    return answer;
  }

  /** It has been given, or given up. */
  done({ asked: { request } }: Answer): void {
    this.#running.delete(request);
    if (this.#running.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#missing.clear();
  }

  cancel(request: string): void {
    this.#running.get(request)?.end();
  }

  async #look(): Promise<void> {
    const before = this.#missing;
    const askers = new Set([...this.#running.values()].map(({ asked }) => asked.by));
    const missing = await Promise.all([...askers].map(async (asker) => ((await this.#isGone(asker)) ? [asker] : [])));
    this.#missing = new Set(missing.flat());
    for (const answer of [...this.#running.values()]) {
      if (before.has(answer.asked.by) && this.#missing.has(answer.asked.by)) answer.end();
    }
  }

  async #isGone(instance: string): Promise<boolean> {
    try {
      await this.#control.send({ instance }, { kind: 'ping' }, []);
      return false;
    } catch (error) {
      return error instanceof BroadcastError && error.code === 'NO_LISTENER';
    }
  }
}
