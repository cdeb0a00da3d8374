/*
 * What was not published, counted by why; and what the broker refuses now, for whoever asks how this instance fares.
 */
import { BroadcastError } from './errors.js';
import { BrokerRefusal, type RefusalReason } from './refusal.js';

/** `unavailable`: there was no link, or it took nothing. `uncertain`: sent, and not answered. The others the broker has told. */
export type FailureReason = 'unavailable' | 'uncertain' | 'overloaded' | RefusalReason;

/** How long a refusal is told of after the last one, in ms. */
const LATELY = 60_000;

export class Failures {
  readonly counts: Record<FailureReason, number> = {
    unavailable: 0,
    uncertain: 0,
    overloaded: 0,
    memory: 0,
    disk: 0,
    rights: 0,
    read_only: 0,
    busy: 0,
    refused: 0,
  };
  #refusal?: { readonly error: BrokerRefusal; readonly until: number };

  /** What the broker has refused lately, and has not taken since. */
  get refusal(): BrokerRefusal | undefined {
    return this.#refusal && performance.now() < this.#refusal.until ? this.#refusal.error : undefined;
  }

  /** A message was given up. */
  add(error: Error): void {
    if (!(error instanceof BroadcastError)) return;
    const reason = error instanceof BrokerRefusal ? error.reason : REASONS[error.code];
    if (reason) this.counts[reason]++;
  }

  refused(error: BrokerRefusal): void {
    this.#refusal = { error, until: performance.now() + LATELY };
  }

  /** The broker takes what it has refused. */
  accepted(): void {
    this.#refusal = undefined;
  }
}

/** Other codes are about the message, or the caller. */
const REASONS: Partial<Record<BroadcastError['code'], FailureReason>> = {
  UNAVAILABLE: 'unavailable',
  UNCERTAIN: 'uncertain',
  OVERLOADED: 'overloaded',
};
