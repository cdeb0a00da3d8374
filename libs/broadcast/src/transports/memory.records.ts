/*
 * Records in this process: gone with it.
 */
import type { RecordStore, StoredRecord } from '../transport.js';

export class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, StoredRecord>();

  put(record: StoredRecord): Promise<void> {
    const known = this.#records.get(record.key);
    if (!known || known.version <= record.version) this.#records.set(record.key, record);
    return Promise.resolve();
  }

  all(): Promise<StoredRecord[]> {
    const now = Date.now();
    for (const [key, { until }] of this.#records) if (until <= now) this.#records.delete(key);
    return Promise.resolve([...this.#records.values()]);
  }
}
