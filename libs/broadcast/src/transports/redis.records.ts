/*
 * Records at Redis: two hashes and when each record ends, in one slot.
 *
 *   roomcast:{records}:payloads   hash: by key, the record
 *   roomcast:{records}:versions   hash: by key, its version
 *   roomcast:{records}:ends       sorted set: keys by when they end, in ms since 1970
 */
import type { Redis } from 'ioredis';
import type { RecordStore, StoredRecord } from '../transport.js';
import { Script } from './redis.script.js';

/** Ended records that one put sweeps away. */
const SWEPT = 100;

/** KEYS: payloads, versions, ends. ARGV: key, version, payload, end, now. */
const PUT = new Script(`
local known = redis.call('HGET', KEYS[2], ARGV[1])
if not known or known <= ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[5], 'LIMIT', 0, ${SWEPT})
if #ended > 0 then
  redis.call('HDEL', KEYS[1], unpack(ended))
  redis.call('HDEL', KEYS[2], unpack(ended))
  redis.call('ZREM', KEYS[3], unpack(ended))
end
return 1`);

/** KEYS: payloads, versions, ends. ARGV: now. One step, so that the three belong together. */
const ALL = new Script(`
local answer = {}
local ends = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[1], '+inf', 'WITHSCORES')
for i = 1, #ends, 2 do
  local payload = redis.call('HGET', KEYS[1], ends[i])
  if payload then answer[#answer + 1] = { ends[i], redis.call('HGET', KEYS[2], ends[i]), payload, ends[i + 1] } end
end
return answer`);

export class RedisRecords implements RecordStore {
  readonly #redis: Redis;
  readonly #keys: string[];

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis;
    this.#keys = ['payloads', 'versions', 'ends'].map((part) => `${prefix}roomcast:{records}:${part}`);
  }

  async put({ key, version, payload, until }: StoredRecord): Promise<void> {
    await PUT.run(this.#redis, this.#keys, [key, version, payload, until, Date.now()]);
  }

  async all(): Promise<StoredRecord[]> {
    const found = (await ALL.run(this.#redis, this.#keys, [Date.now()])) as [Buffer, Buffer, Buffer, Buffer][];
    return found.map(([key, version, payload, end]) => ({
      key: key.toString(),
      version: version.toString(),
      payload,
      until: Number(end.toString()),
    }));
  }
}
