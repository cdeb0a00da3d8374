/*
 * The bindings of one queue to one exchange: what is wanted against what the broker has acknowledged, and one loop
 * that closes the difference. Knows nothing of connections; a binding that fails is the end of the link, not retried.
 *
 * Single bindings are slow: a broker makes about 2,500 a second, and messages for rooms still waiting for theirs are
 * confirmed to their publishers and lost. So with a `wildcard` the set widens as soon as it lags: one binding that
 * hears everything is acknowledged within a millisecond or two, the single ones follow behind it, and when the last
 * is there the wide one goes. And while little is said that nobody here wants, the wide one is all there is: joining and
 * leaving ask nothing of the broker, and a join is effective in the same turn. The receiver filters by routing key either way, and a topic exchange gives a queue one
 * copy however many of its bindings match, so neither switch loses or doubles a message.
 */
import { toError } from '../errors.js';

/** The two questions asked of the broker. Both are idempotent there. */
export interface Binder {
  bind(key: string): Promise<unknown>;
  unbind(key: string): Promise<unknown>;
}

export interface BindingsOptions {
  /** The key that hears everything. Without one, every key gets its own binding, whatever that takes. */
  wildcard?: string;
  /** Above this many keys the wildcard stays, until they are down to four fifths of it. @default Infinity */
  max?: number;
  /** Changes asked of the broker at a time; more than this waiting is lagging. @default 16 */
  inFlight?: number;
}

interface Waiter {
  resolve(): void;
  reject(cause: Error): void;
}

export class Bindings {
  readonly #binder: Binder;
  readonly #wildcard: string | undefined;
  readonly #max: number;
  readonly #inFlight: number;

  readonly #wanted = new Set<string>();
  /** Acknowledged, and not about to go: a key leaves it when its unbinding is sent, not when it is answered. */
  readonly #bound = new Set<string>();
  readonly #changing = new Set<string>();
  readonly #toBind = new Set<string>();
  readonly #toUnbind = new Set<string>();
  #width: 'single' | 'changing' | 'wide' = 'single';
  #crowded = false;
  #calm = false;

  readonly #waiting = new Map<string, Waiter[]>();
  #ended: Error | undefined;

  constructor(binder: Binder, { wildcard, max = Infinity, inFlight = 16 }: BindingsOptions = {}) {
    this.#binder = binder;
    this.#wildcard = wildcard;
    this.#max = max;
    this.#inFlight = inFlight;
  }

  /** Begins with the wildcard, if there is one, and keeps it until `disturbed()`. Resolves when it is bound. */
  async begin(): Promise<void> {
    if (this.#wildcard === undefined) return;
    this.#calm = true;
    await this.#widen(this.#wildcard);
    if (this.#ended) throw this.#ended;
  }

  /** Too much is heard that nobody wants: from now on every key gets a binding of its own, as long as they keep up. */
  disturbed(): void {
    if (!this.#calm) return;
    this.#calm = false;
    this.#reconcile();
  }

  /** Resolves when everything that is published to these keys from now on reaches the queue. */
  add(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#wanted.add(key);
    return this.#reconciled(keys);
  }

  /** Resolves when these keys have no binding of their own any more. */
  delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#wanted.delete(key);
    return this.#reconciled(keys);
  }

  /** No further changes; whoever waits for one is rejected. */
  end(cause: Error): void {
    this.#ended ??= cause;
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.reject(cause);
    this.#waiting.clear();
  }

  /** `wide` while the wildcard is bound. */
  get width(): 'single' | 'changing' | 'wide' {
    return this.#width;
  }

  async #reconciled(keys: readonly string[]): Promise<void> {
    if (this.#ended) throw this.#ended;
    for (const key of keys) this.#sort(key);
    this.#reconcile();
    // Changing one's mind can settle a key with nothing left to ask, for those who waited before too.
    for (const key of keys) this.#settle(key);
    await Promise.all(keys.filter((key) => !this.#isSettled(key)).map((key) => this.#settled(key)));
  }

  /** Puts a key on the list it belongs to. One that is changing is sorted when its change is done. */
  #sort(key: string): void {
    const wanted = this.#wanted.has(key);
    const bound = this.#bound.has(key) || this.#changing.has(key);
    toggle(this.#toBind, key, wanted && !bound);
    toggle(this.#toUnbind, key, !wanted && this.#bound.has(key));
  }

  #isSettled(key: string): boolean {
    if (this.#wanted.has(key)) return this.#bound.has(key) || this.#width === 'wide';
    return !this.#bound.has(key) && !this.#changing.has(key);
  }

  #settled(key: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(key);
      if (waiters) waiters.push({ resolve, reject });
      else this.#waiting.set(key, [{ resolve, reject }]);
    });
  }

  #settle(key: string): void {
    if (!this.#isSettled(key)) return;
    for (const waiter of this.#waiting.get(key) ?? []) waiter.resolve();
    this.#waiting.delete(key);
  }

  #reconcile(): void {
    if (this.#ended) return;
    if (this.#wildcard !== undefined) this.#reconcileWidth(this.#wildcard);
    // In a crowd, and in calm, the wildcard does the hearing, and the keys stay on the list until that is over.
    for (const list of this.#crowded || this.#calm ? [this.#toUnbind] : [this.#toBind, this.#toUnbind]) {
      for (const key of list) {
        if (this.#changing.size >= this.#inFlight) return;
        list.delete(key);
        void this.#change(key, list === this.#toBind);
      }
    }
  }

  #reconcileWidth(wildcard: string): void {
    if (this.#wanted.size > this.#max) this.#crowded = true;
    else if (this.#wanted.size <= this.#max * 0.8) this.#crowded = false;

    const lags = this.#toBind.size > this.#inFlight;
    const complete = this.#toBind.size + this.#changing.size === 0;
    if (this.#width === 'single' && (this.#crowded || lags)) void this.#widen(wildcard);
    if (this.#width === 'wide' && !this.#crowded && !this.#calm && complete) void this.#narrow(wildcard);
  }

  async #change(key: string, bind: boolean): Promise<void> {
    this.#changing.add(key);
    this.#bound.delete(key);
    if (!(await this.#asked(bind ? this.#binder.bind(key) : this.#binder.unbind(key)))) return;
    this.#changing.delete(key);
    if (bind) this.#bound.add(key);
    this.#sort(key);
    this.#settle(key);
    this.#reconcile();
  }

  async #widen(wildcard: string): Promise<void> {
    this.#width = 'changing';
    if (!(await this.#asked(this.#binder.bind(wildcard)))) return;
    this.#width = 'wide';
    for (const key of [...this.#waiting.keys()]) this.#settle(key);
    this.#reconcile();
  }

  /** From the moment this is sent the wildcard counts for nothing: who joins now waits for a binding of his own. */
  async #narrow(wildcard: string): Promise<void> {
    this.#width = 'changing';
    if (!(await this.#asked(this.#binder.unbind(wildcard)))) return;
    this.#width = 'single';
    this.#reconcile();
  }

  async #asked(answer: Promise<unknown>): Promise<boolean> {
    try {
      await answer;
      return this.#ended === undefined;
    } catch (thrown) {
      this.end(toError(thrown));
      return false;
    }
  }
}

function toggle<T>(set: Set<T>, value: T, on: boolean): void {
  if (on) set.add(value);
  else set.delete(value);
}
