/*
 * What Redis refuses with an error in its answer. (What comes without an answer, a broken connection, is none.)
 */
import { toError } from '../errors.js';
import { BrokerRefusal, type RefusalOptions } from '../refusal.js';

const KINDS: readonly [codes: RegExp, kind: RefusalOptions][] = [
  [/\bOOM\b/, { reason: 'memory', passing: true }],
  [/\bMISCONF\b/, { reason: 'disk', passing: true }],
  [/\bREADONLY\b/, { reason: 'read_only', passing: true }],
  [/\b(?:BUSY|LOADING|MASTERDOWN|TRYAGAIN|NOREPLICAS)\b/, { reason: 'busy', passing: true }],
  [/\b(?:NOPERM|NOAUTH|WRONGPASS)\b|can't run this command/, { reason: 'rights', passing: false }],
];

/** Whatever was thrown, as a refusal if it is one: of a script before Redis 7, the code stands within the sentence. */
export function asRefusal(thrown: unknown): Error {
  const error = toError(thrown);
  if (error instanceof BrokerRefusal || !/^-?[A-Z]{2,} /.test(error.message)) return error;
  const [, kind] = KINDS.find(([codes]) => codes.test(error.message)) ?? [];
  return new BrokerRefusal(`Redis refuses: ${error.message}`, {
    cause: error,
    ...(kind ?? { reason: 'refused', passing: false }),
  });
}
