/*
 * Who answers what. Asks once for all that wait for the same subject, asks again while nobody has said so, and remembers
 * for a moment who has. It knows nothing of the requests themselves.
 */
import { BroadcastError, toError } from '../errors.js';
import { ulid } from '../ulid.js';

/** Somebody who looks for an instance that can answer. */
export interface Seeker {
  /** How long to look, in ms, from when the question has been sent. */
  readonly discovery: number;
  found(instance: string): void;
  failed(error: Error): void;
}

export interface DiscoveryParts {
  /** Asks everybody; resolves when the broker has accepted it. */
  ask(question: string, subject: string): Promise<void>;
  now(): number;
}

interface Search {
  readonly subject: string;
  readonly question: string;
  /** Those that have said that they answer; taken in turn. */
  instances: string[];
  turn: number;
  /** Until when they are believed. */
  until: number;
  askedAt: number;
  /** The question is on its way to the broker. */
  asking: boolean;
  /** Until when each looks; not known before the question has been sent. */
  readonly seekers: Map<Seeker, number | undefined>;
}

/** How long an instance is believed to answer, in ms: one that is frozen is asked no longer than that. */
const REMEMBERED = 1_000;
/** While nobody has answered, the question is asked again this often, in ms: somebody may have come meanwhile. */
const AGAIN = 100;

export class Discovery {
  readonly #parts: DiscoveryParts;
  readonly #bySubject = new Map<string, Search>();
  readonly #byQuestion = new Map<string, Search>();

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
  }

  /** Subjects that somebody looks for, or of which it is remembered who answers. */
  get size(): number {
    return this.#bySubject.size;
  }

  /** Tells the seeker of an instance, at once where one is known, or that there is none (`NO_LISTENER`). */
  seek(subject: string, seeker: Seeker): void {
    const search = this.#bySubject.get(subject) ?? this.#begin(subject);
    const instance = this.#next(search);
    if (instance !== undefined) return seeker.found(instance);
    const now = this.#parts.now();
    const again = now - search.askedAt >= AGAIN;
    search.seekers.set(seeker, search.asking || again ? undefined : now + seeker.discovery);
    if (again && !search.asking) this.#ask(search);
  }

  /** The seeker needs nobody any more. */
  leave(subject: string, seeker: Seeker): void {
    this.#bySubject.get(subject)?.seekers.delete(seeker);
  }

  /** An instance has said that it can answer. */
  here(question: string, instance: string): void {
    const search = this.#byQuestion.get(question);
    if (!search) return;
    if (this.#next(search) === undefined) search.until = this.#parts.now() + REMEMBERED;
    if (!search.instances.includes(instance)) search.instances.push(instance);
    const seekers = [...search.seekers.keys()];
    search.seekers.clear();
    for (const seeker of seekers) seeker.found(this.#next(search) ?? instance);
  }

  /** The instance has turned out not to answer. */
  forget(subject: string, instance: string): void {
    const search = this.#bySubject.get(subject);
    if (search) search.instances = search.instances.filter((other) => other !== instance);
  }

  /** Time has passed. */
  sweep(): void {
    const now = this.#parts.now();
    for (const search of this.#bySubject.values()) {
      for (const [seeker, until = Infinity] of search.seekers) {
        if (now < until) continue;
        search.seekers.delete(seeker);
        seeker.failed(new BroadcastError('NO_LISTENER', `no instance handles "${search.subject}"`));
      }
      if (search.asking) continue;
      if (search.seekers.size === 0 && now >= search.until) this.#end(search);
      else if (search.seekers.size > 0 && now - search.askedAt >= AGAIN) this.#ask(search);
    }
  }

  #begin(subject: string): Search {
    const search: Search = {
      subject,
      question: ulid(),
      instances: [],
      turn: 0,
      until: -Infinity,
      askedAt: -Infinity,
      asking: false,
      seekers: new Map(),
    };
    this.#bySubject.set(subject, search);
    this.#byQuestion.set(search.question, search);
    return search;
  }

  #end({ subject, question }: Search): void {
    this.#bySubject.delete(subject);
    this.#byQuestion.delete(question);
  }

  #next(search: Search): string | undefined {
    if (this.#parts.now() >= search.until) search.instances = [];
    return search.instances[search.turn++ % search.instances.length];
  }

  #ask(search: Search): void {
    search.asking = true;
    search.askedAt = this.#parts.now();
    const settle = (each: (seeker: Seeker) => void) => {
      search.asking = false;
      for (const [seeker, until] of [...search.seekers]) if (until === undefined) each(seeker);
    };
    this.#parts.ask(search.question, search.subject).then(
      () => settle((seeker) => search.seekers.set(seeker, this.#parts.now() + seeker.discovery)),
      (error: unknown) =>
        settle((seeker) => {
          search.seekers.delete(seeker);
          seeker.failed(toError(error));
        }),
    );
  }
}
