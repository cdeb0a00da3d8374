/*
 * What outlives every instance, where the broker stores: one record of each key, the newest. Signed like what instances say
 * to each other, since they act on it.
 */
import { deadline } from './deadline.js';
import { BroadcastError } from './errors.js';
import { BrokerRefusal } from './refusal.js';
import type { Sealed } from './signature.js';
import type { RecordStore, StoredRecord } from './transport.js';

/** The part of the bus that this needs. */
export interface RecordsBus {
  readonly callTimeout: number;
  /** That of the link of now. @throws BroadcastError `UNAVAILABLE` */
  records(): RecordStore;
  seal(channel: Sealed, payload: Buffer): Buffer;
  /** @throws BroadcastError `UNTRUSTED` */
  open(channel: Sealed, payload: Buffer): Buffer;
  /** Whether it is signed by the first secret. */
  isCurrent(channel: Sealed, payload: Buffer): boolean;
  misread(channel: Sealed, thrown: unknown): void;
  refused(refusal: BrokerRefusal): void;
}

/** Bytes of the longest key. */
const MAX_KEY = 512;
/** Reading them all takes longer than a call. */
const READING = 30_000;

export class Records implements RecordStore {
  readonly #bus: RecordsBus;

  constructor(bus: RecordsBus) {
    this.#bus = bus;
  }

  /** @throws BroadcastError through the promise: `BAD_REQUEST`, `UNAVAILABLE`, `TIMEOUT`, `UNCERTAIN` */
  async put(record: StoredRecord): Promise<void> {
    if (record.key === '' || Buffer.byteLength(record.key) > MAX_KEY) {
      throw new BroadcastError('BAD_REQUEST', `expected a key of 1 to ${MAX_KEY} bytes`);
    }
    const payload = this.#bus.seal('records', record.payload);
    const putting = this.#bus.records().put({ ...record, payload });
    await this.#told(deadline(putting, this.#bus.callTimeout, 'storing a record'));
  }

  /** Those that can be trusted. @throws BroadcastError through the promise: `UNAVAILABLE`, `TIMEOUT` */
  async all(): Promise<StoredRecord[]> {
    const found = await this.#told(deadline(this.#bus.records().all(), READING, 'reading the records'));
    const old: StoredRecord[] = [];
    const records = found.flatMap((record) => {
      try {
        const opened = { ...record, payload: this.#bus.open('records', record.payload) };
        if (!this.#bus.isCurrent('records', record.payload)) old.push(opened);
        return [opened];
      } catch (thrown) {
        this.#bus.misread('records', thrown);
        return [];
      }
    });
    // Signed by a secret that is being exchanged for another: when it is gone nobody would believe them.
    for (const record of old) await this.put(record);
    return records;
  }

  #told<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      if (error instanceof BrokerRefusal) this.#bus.refused(error);
      throw error;
    });
  }
}
