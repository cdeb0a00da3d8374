/*
 * What a broker refuses in words, with its answer: it is there, and nothing was done. What that means for a message is
 * known, unlike where no answer came.
 */
import { BroadcastError } from './errors.js';

/** Why, in a word that metrics count by. */
export type RefusalReason = 'memory' | 'disk' | 'rights' | 'read_only' | 'busy' | 'refused';

export interface RefusalOptions extends ErrorOptions {
  reason: RefusalReason;
  /** Whether it may be over in a moment: what is refused is tried again for as long as it would wait for a link. */
  passing: boolean;
}

/** `UNAVAILABLE`, in the broker's own words. */
export class BrokerRefusal extends BroadcastError {
  readonly reason: RefusalReason;
  readonly passing: boolean;

  constructor(message: string, { reason, passing, ...options }: RefusalOptions) {
    super('UNAVAILABLE', message, options);
    this.reason = reason;
    this.passing = passing;
  }
}
