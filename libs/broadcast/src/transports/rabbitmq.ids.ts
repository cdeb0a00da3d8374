/*
 * The ids of late, with the place of each first copy: a stream takes the same message twice, and later copies are passed over,
 * by every instance alike.
 */
import type { ConsumeMessage } from 'amqplib';
import { idOf, place, sentAt } from './rabbitmq.entries.js';

export interface StreamIdsOptions {
  /** For how long the same id is the same message, in ms. */
  readonly idWindow: number;
  /** Ids that are kept, however young. */
  readonly maxIds: number;
  /** One of them had to go before its time. */
  readonly forgot: () => void;
}

export class StreamIds {
  readonly #options: StreamIdsOptions;
  /** By name, oldest first, with the place of the first copy, and when it was sent by the clock of the stream. */
  readonly #known = new Map<string, { place: number; at: number }>();
  /** The newest time, in ms since 1970, at which a message was sent: an id's age is told by what is in the stream alone. */
  #clock = 0;

  constructor(options: StreamIdsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#known.size;
  }

  /** From when on ids are read, in ms since 1970. */
  begin(from: number): void {
    this.#clock = from;
  }

  /** A message has come: they come in the order of the stream. Returns the place of its first copy, which may be itself. */
  add(message: ConsumeMessage): number {
    // Whoever's clock is ahead must not make the others' ids old.
    this.#clock = Math.max(this.#clock, Math.min(sentAt(message) ?? 0, Date.now()));
    const id = idOf(message);
    if (id === undefined) return place(message);
    const name = nameOf(message.fields.routingKey, id);
    const known = this.#known.get(name);
    if (known && this.#isYoung(known.at)) return known.place;
    this.#known.delete(name);
    this.#known.set(name, { place: place(message), at: this.#clock });
    this.#forget();
    return place(message);
  }

  /** Where the message is that was sent under this id of late. */
  placeOf(key: string, id: string): number | undefined {
    const known = this.#known.get(nameOf(key, id));
    return known && Date.now() - known.at < this.#options.idWindow ? known.place : undefined;
  }

  /** Leaves later copies out: those of messages whose first copy is known, or is among these. */
  firstCopies(messages: readonly ConsumeMessage[]): ConsumeMessage[] {
    const first = new Map<string, ConsumeMessage>();
    return messages.filter((message) => {
      const id = idOf(message);
      if (id === undefined) return true;
      // Without a time, nobody can tell how much later it was: then it is a copy.
      const sent = sentAt(message) ?? 0;
      const isCopy = (at: number) => sent - at < this.#options.idWindow;
      const known = this.#known.get(nameOf(message.fields.routingKey, id));
      if (known && known.place < place(message) && isCopy(known.at)) return false;
      const before = first.get(id);
      if (before && isCopy(sentAt(before) ?? 0)) return false;
      first.set(id, message);
      return true;
    });
  }

  clear(): void {
    this.#known.clear();
  }

  #forget(): void {
    for (const [name, { at }] of this.#known) {
      const isYoung = this.#isYoung(at);
      if (isYoung && this.#known.size <= this.#options.maxIds) return;
      if (isYoung) this.#options.forgot();
      this.#known.delete(name);
    }
  }

  #isYoung(at: number): boolean {
    return this.#clock - at < this.#options.idWindow;
  }
}

function nameOf(key: string, id: string): string {
  return `${key}\n${id}`;
}
