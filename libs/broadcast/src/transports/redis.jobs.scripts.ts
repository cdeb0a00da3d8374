/*
 * What Redis has to do with a job in one step. Nothing is taken away before it stands where it goes: a script that fails
 * half-way (a full memory) leaves a job twice, never nowhere.
 *
 * Keys, in this order, as far as a script needs them: stream, delayed, dead, and the mark of an id. A job that waits for its
 * time is the fields of its stream entry, packed.
 */
import { Script } from './redis.script.js';

/** The group of all workers of a queue. */
export const GROUP = 'workers';

/**
 * What several of them do. An entry is this worker's until another one takes it over, when this one has been silent for the
 * lease; a job is put where it is done now, or where it waits for its time.
 */
const OWNED = `
local function owned(stream, entry, consumer)
  local pending = redis.pcall('XPENDING', stream, '${GROUP}', entry, entry, 1)
  return pending[1] ~= nil and pending[1][2] == consumer
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function drop(stream, entry)
  redis.pcall('XACK', stream, '${GROUP}', entry)
  redis.call('XDEL', stream, entry)
end
local function put(delay, fields)
  if tonumber(delay) > 0 then
    redis.call('ZADD', KEYS[2], now() + delay, cmsgpack.pack(fields))
  else
    redis.call('XADD', KEYS[1], '*', unpack(fields))
  end
end
`;

/** ARGV: delay in ms, ms to remember the id for (0: not), fields… */
export const ENQUEUE = new Script(`${OWNED}
local once = tonumber(ARGV[2])
if once > 0 and redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
put(ARGV[1], {unpack(ARGV, 3)})
if once > 0 then redis.call('SET', KEYS[4], 1, 'PX', once) end
return 1`);

/**
 * What is regularly to be done. ARGV: consumer, lease in ms, where to look for stale work, how much of it there is room
 * for, entries of this worker… Answers where to look next, what was taken over ({ entry, fields, deliveries }), and in how many
 * ms the next delayed job is due (-1: there is none).
 */
export const TICK = new Script(`${OWNED}
local stream, delayed, consumer = KEYS[1], KEYS[2], ARGV[1]
for _, due in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now(), 'LIMIT', 0, 100)) do
  redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(due)))
  redis.call('ZREM', delayed, due)
end
for i = 5, #ARGV do
  if owned(stream, ARGV[i], consumer) then
    redis.call('XCLAIM', stream, '${GROUP}', consumer, 0, ARGV[i], 'JUSTID')
  end
end
local taken, cursor = {}, ARGV[3]
if tonumber(ARGV[4]) > 0 then
  local stale = redis.call('XAUTOCLAIM', stream, '${GROUP}', consumer, ARGV[2], cursor, 'COUNT', ARGV[4])
  cursor = stale[1]
  for _, entry in ipairs(stale[2]) do
    if entry then
      local pending = redis.call('XPENDING', stream, '${GROUP}', entry[1], entry[1], 1)
      taken[#taken + 1] = {entry[1], entry[2], pending[1] and pending[1][4] or 1}
    end
  end
end
local next = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
return {cursor, taken, next[2] and math.max(0, next[2] - now()) or -1}`);

/** ARGV: entry. */
export const DONE = new Script(`${OWNED}
drop(KEYS[1], ARGV[1])
return 1`);

/** ARGV: entry, consumer, delay in ms, fields… */
export const AGAIN = new Script(`${OWNED}
if not owned(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
put(ARGV[3], {unpack(ARGV, 4)})
drop(KEYS[1], ARGV[1])
return 1`);

/** ARGV: entry, consumer, fields… */
export const DEAD = new Script(`${OWNED}
if not owned(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
redis.call('XADD', KEYS[3], '*', unpack(ARGV, 3))
drop(KEYS[1], ARGV[1])
return 1`);

/** ARGV: entry in the dead letters, fields… */
export const REPLAY = new Script(`
if #redis.call('XRANGE', KEYS[3], ARGV[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
return redis.call('XDEL', KEYS[3], ARGV[1])`);

/** Waiting and running, delayed, dead. */
export const STATS = new Script(`
local all, running = redis.call('XLEN', KEYS[1]), 0
local pending = redis.pcall('XPENDING', KEYS[1], '${GROUP}')
if not pending.err then running = pending[1] end
return {all - running, running, redis.call('ZCARD', KEYS[2]), redis.call('XLEN', KEYS[3])}`);

/** Forgets workers that have nothing and were last heard of long ago: ARGV: ms, and this one, whatever it has heard: consumer. */
export const TIDY = new Script(`
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], '${GROUP}')) do
  local name, pending, idle = consumer[2], consumer[4], consumer[6]
  if pending == 0 and (idle > tonumber(ARGV[1]) or name == ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], '${GROUP}', name)
  end
end
return 1`);
