/*
 * Histories of rooms at Redis: a stream of bounded length and a hash with its epoch and top for each, and a key for each
 * id that was appended lately. One script does all of an append, so that nothing can come between storing and sending.
 *
 *   {live_room:<room>}:log       stream, entries <offset>-0 with the fields i (id) and d (the message)
 *   {live_room:<room>}:meta      hash: e (epoch), s (top offset), i (id of the message there)
 *   {live_room:<room>}:id:<id>   the position that the id has
 */
import type { Redis } from 'ioredis';
import { BroadcastError } from '../errors.js';
import { epochOf, newEpoch, offsetOf, POSITION, positionOf, type Mark, type Position } from '../position.js';
import type { AppendOptions, LogEntry, LogPage, ReadOptions, RoomLog } from '../transport.js';
import { Script, type ScriptArgs } from './redis.script.js';

/** How much longer than the messages the epoch and the top are kept, in ms: resuming on a quiet room stays possible. */
const AFTERLIFE = 24 * 60 * 60_000;
/** Marks a message whose position stands in front of it as bytes: one that does not begin with `{`. */
const POSITIONED = 0x03;
const BRACE = 0x7b;
const QUOTE = 0x22;
const POS_FIELD = Buffer.from('{"pos":"');

/** KEYS: stream, meta, id. ARGV: channel, message, id, size, ttl, lifetime of meta, id window, an epoch to begin. */
const APPEND = new Script(`
local epoch = redis.call('HGET', KEYS[2], 'e')
local known = redis.call('GET', KEYS[3])
if known and epoch and string.sub(known, 1, #epoch + 1) == epoch .. '.' then return known end
if not epoch then
  epoch = ARGV[8]
  redis.call('HSET', KEYS[2], 'e', epoch)
  redis.call('DEL', KEYS[1])
end
local offset = redis.call('HINCRBY', KEYS[2], 's', 1)
redis.call('HSET', KEYS[2], 'i', ARGV[3])
local pos = epoch .. '.' .. string.format('%d', offset)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], string.format('%d', offset) .. '-0', 'i', ARGV[3], 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('SET', KEYS[3], pos, 'PX', ARGV[7])
local message
if string.byte(ARGV[2], 1) == ${BRACE} and string.byte(ARGV[2], 2) == ${QUOTE} then
  message = '{"pos":"' .. pos .. '",' .. string.sub(ARGV[2], 2)
else
  message = string.char(${POSITIONED}, #pos) .. pos .. ARGV[2]
end
redis.call('PUBLISH', ARGV[1], message)
return pos`);

/** KEYS: stream, meta. ARGV: epoch ('' for any), offset, limit, 'after' or 'before' (offset -1: the end). */
const READ = new Script(`
local meta = redis.call('HMGET', KEYS[2], 'e', 's', 'i')
if not meta[1] or (ARGV[1] ~= '' and meta[1] ~= ARGV[1]) then return { false } end
if ARGV[4] == 'after' then
  return { meta[1], meta[2] or '0', meta[3] or '', redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3] + 2) }
end
if ARGV[2] == '0' then return { meta[1], meta[2] or '0', meta[3] or '', {} } end
local last = '+'
if ARGV[2] ~= '-1' then last = '(' .. ARGV[2] .. '-0' end
return { meta[1], meta[2] or '0', meta[3] or '', redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', ARGV[3] + 1) }`);

/**
 * KEYS: stream, meta. ARGV: an epoch to begin, lifetime: of a room that somebody looks at, it does not end. A stream whose meta
 * was evicted goes: its offsets would pass for those of the new epoch, and stand in front of what is appended.
 */
const TOP = new Script(`
local meta = redis.call('HMGET', KEYS[2], 'e', 's', 'i')
if not meta[1] then
  redis.call('HSET', KEYS[2], 'e', ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[1])
  return { ARGV[1], '0', '' }
end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) / 2 then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return { meta[1], meta[2] or '0', meta[3] or '' }`);

/** Loaded before the first message: one that had to be sent again with its script would come after the next. */
export async function loadScripts(redis: Redis): Promise<void> {
  await Promise.all([APPEND, READ, TOP].map(({ source }) => redis.script('LOAD', source)));
}

type RawEntry = [id: Buffer, fields: Buffer[]];

export class RedisLog implements RoomLog {
  readonly #redis: Redis;
  readonly #nameOf: (room: string) => string;
  readonly #idWindow: number;

  /** @param nameOf the channel of a room, with its prefix */
  constructor(redis: Redis, nameOf: (room: string) => string, idWindow: number) {
    this.#redis = redis;
    this.#nameOf = nameOf;
    this.#idWindow = idWindow;
  }

  async append(room: string, payload: Buffer, { id, size, ttl }: AppendOptions): Promise<Position> {
    const channel = this.#nameOf(room);
    const key = `{${channel}}`;
    const life = [Math.ceil(ttl), Math.ceil(ttl) + AFTERLIFE, Math.max(1, this.#idWindow)];
    const keys = [`${key}:log`, `${key}:meta`, `${key}:id:${id}`];
    return String(await APPEND.run(this.#redis, keys, [channel, payload, id, size, ...life, newEpoch()]));
  }

  async read(room: string, { from, before, limit }: ReadOptions): Promise<LogPage> {
    const place = from ?? before;
    const epoch = place === undefined ? '' : epochOf(place);
    const offset = place === undefined ? -1 : offsetOf(place);
    const key = `{${this.#nameOf(room)}}`;
    const args = [epoch, String(offset), String(limit), from === undefined ? 'before' : 'after'];
    const answer = (await this.#run(READ, room, [`${key}:log`, `${key}:meta`], args)) as
      [Buffer, Buffer, Buffer, RawEntry[]] | [null];
    if (answer[0] === null) return { entries: [], more: before !== undefined };
    const top = markOf(answer[0], answer[1], answer[2]);
    const raw = answer[3];
    const entries = raw.map((entry) => entryOf(epochOf(top.pos), entry));
    if (from === undefined) return { entries: entries.slice(0, limit).reverse(), more: entries.length > limit };
    // The one at the position itself has been asked for too.
    const found = entries[0]?.pos === from ? entries.shift() : undefined;
    const isStart = offset === 0 && entries[0] !== undefined && offsetOf(entries[0].pos) === 1;
    const at = found ?? (from === top.pos ? top : isStart ? { pos: from } : undefined);
    return {
      at: at && { pos: at.pos, ...(at.id !== undefined && { id: at.id }) },
      entries: entries.slice(0, limit),
      more: entries.length > limit,
    };
  }

  async tops(rooms: readonly string[]): Promise<Mark[]> {
    const asked = rooms.map((room) => {
      const key = `{${this.#nameOf(room)}}`;
      return this.#run(TOP, room, [`${key}:log`, `${key}:meta`], [newEpoch(), AFTERLIFE]);
    }) as Promise<[Buffer, Buffer, Buffer]>[];
    return (await Promise.all(asked)).map(([epoch, top, id]) => markOf(epoch, top, id));
  }

  /** Somebody else may have put something of another kind under these names. */
  async #run(script: Script, room: string, keys: readonly string[], args: ScriptArgs): Promise<unknown> {
    try {
      return await script.run(this.#redis, keys, args);
    } catch (cause) {
      if (!(cause instanceof Error) || !/WRONGTYPE|not an integer|out of range|would overflow/.test(cause.message))
        throw cause;
      const problem = `what Redis holds for the history of room ${room} is no history: whoever runs it has to delete that`;
      throw new BroadcastError('UNAVAILABLE', problem, { cause });
    }
  }
}

/** The message, and its position if it came out of a log: `{"pos":"…",` … or the bytes 0x03, length, position. */
export function splitPosition(payload: Buffer): { payload: Buffer; pos?: Position } {
  if (payload[0] === POSITIONED && payload.length > 2) {
    const start = 2 + payload[1]!;
    const pos = payload.toString('latin1', 2, start);
    return POSITION.test(pos) && pos.length === payload[1] ? { pos, payload: payload.subarray(start) } : { payload };
  }
  if (payload[0] !== BRACE || !payload.subarray(0, POS_FIELD.length).equals(POS_FIELD)) return { payload };
  const end = payload.indexOf(QUOTE, POS_FIELD.length);
  if (end < 0 || payload[end + 1] !== 0x2c) return { payload };
  const pos = payload.toString('latin1', POS_FIELD.length, end);
  // Somebody else's field of the same name, the place of a piece on a board, stays where it is.
  if (!POSITION.test(pos)) return { payload };
  // The comma after the position becomes the brace of the message: nothing is copied.
  payload[end + 1] = BRACE;
  return { pos, payload: payload.subarray(end + 1) };
}

function markOf(epoch: Buffer, top: Buffer, id: Buffer): Mark {
  const pos = positionOf(epoch.toString(), Number(top.toString()));
  return id.length > 0 ? { pos, id: id.toString() } : { pos };
}

function entryOf(epoch: string, [id, fields]: RawEntry): LogEntry {
  const pos = positionOf(epoch, Number(id.toString().split('-', 1)[0]));
  const values = new Map<string, Buffer>();
  for (let i = 0; i + 1 < fields.length; i += 2) values.set(fields[i]!.toString(), fields[i + 1]!);
  return { pos, id: values.get('i')?.toString() ?? '', payload: values.get('d') ?? Buffer.alloc(0) };
}
