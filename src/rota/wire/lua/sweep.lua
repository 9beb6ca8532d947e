-- sweep: strike from one collection of a queue, or of a limit, what belongs to nothing any more, a portion at a time.
--
-- KEYS  1 queue (for `slots`, the collection)  2 collection
-- ARGV  1 kind: `letters` (the list of dead letters), `causes` and `of_cause` (the lists by cause), `workers` (the list of processes), `fields` (a hash by job), `terms`
--       and `notes` (those two hashes), `claims` (the active set), `members` (another sorted set of jobs), `slots` (who
--       holds the slots of a limit, or which queues have a line for them)
--       2 where the portion begins: '0', or what the call before returned   3 how many entries to look at
--       4 1 = strike them, 0 = only count them
-- Returns { where the next portion begins ('0' = this was the last), how many entries belong to nothing }.
--
-- Keeps true: nothing is struck of a job that has a payload, waits, is claimed or is remembered, in the moment in which it
-- is struck; nor a letter that can be read, nor a process whose heartbeat has not expired. A claim is struck only if its
-- job has left the queue, and its lease ended long ago. What a job that is gone held by its terms is given back.

--@include calls
--@include now

local queue, collection = KEYS[1], KEYS[2]
local kind, from, count, strikes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

-- A lease that ended before this time may still be renewed, if the server stood still, ms.
local LONG = 600000

local function has_payload(id) return redis.call('EXISTS', 'arq:job:' .. id) == 1 end
local function is_queued(id)
  return redis.call('ZSCORE', queue, id) or redis.call('ZSCORE', queue .. ':active', id)
end
local function is_held(id) return redis.call('EXISTS', 'arq:in-progress:' .. id) == 1 end

local function ranks()
  local ids = redis.call('ZRANGE', collection, from, from + count - 1)
  return #ids == count and from + count or 0, ids
end

local function strike_ranks(ids)
  redis.call('ZREM', collection, unpack(ids))
  return #ids -- those behind them move up
end

local function all_of_set() return 0, redis.call('SMEMBERS', collection) end

-- The figure of a limit, a string, is named as the slots of its keys are: it has no entries.
local function all_of_slots()
  if redis.call('MGET', collection)[1] then return 0, {} end
  return all_of_set()
end

local function strike_from_set(members)
  for _, member in ipairs(members) do redis.call('SREM', collection, member) end
  return 0
end

local function page_of_hash()
  local page, ids = redis.call('HSCAN', collection, ARGV[2], 'COUNT', count), {}
  for i = 1, #page[2], 2 do ids[#ids + 1] = page[2][i] end
  return page[1], ids
end

local function strike_fields(ids)
  for _, id in ipairs(ids) do redis.call('HDEL', collection, id) end
  return 0
end

local function has_entry(id)
  return has_payload(id) or is_queued(id) or redis.call('HEXISTS', queue .. ':runs', id) == 1
end

-- Give back what these jobs held by their terms: slots, places in lines, unique keys.
local function strike_terms(ids)
--@include limits
  for _, id in ipairs(ids) do
    -- Terms that cannot be read hold nothing.
    pcall(give_back, queue, id, terms_of(queue, id))
    redis.call('HDEL', collection, id)
  end
  pcall(wake_others)
  return 0
end

local function claim_lives(id)
  if redis.call('ZSCORE', queue, id) or is_held(id) then return true end
  return tonumber(redis.call('ZSCORE', collection, id)) > now - LONG
end

local function strike_claims(ids)
  for _, id in ipairs(ids) do redis.call('HDEL', queue .. ':runs', id) end
  return strike_ranks(ids)
end

-- Tell whether the job `<queue> <id>` is claimed, or whether the queue has jobs in the line. One that has none any more
-- is named until the next slot is freed, which looks at the lines.
local function slot_lives(holder)
  local its_queue, id = string.match(holder, '^(%S+) (.*)$')
  if not id then
    local limit_key = string.gsub(collection, ':lines$', '')
    return redis.call('EXISTS', holder .. ':line:' .. limit_key, limit_key) > 0
  end
  local entry = redis.call('HGET', its_queue .. ':runs', id)
  return entry and string.sub(entry, 1, 1) ~= '-'
end

-- Tell whether a letter is there, and of the cause of this list: a job that was put back by an earlier version, which knows of
-- no causes, may have died of another since.
local function has_this_cause(id)
  local cause = redis.pcall('HMGET', queue .. ':dead:' .. id, 'cause')[1]
  return cause and collection == queue .. ':cause:' .. cause
end

-- For each kind: what returns where the next portion begins, and the entries of this one; what tells whether one belongs
-- to something; what strikes some, and returns by how many the others move up.
local kinds = {
  letters = { ranks, function(id) return redis.call('EXISTS', collection .. ':' .. id) == 1 end, strike_ranks },
  causes = { ranks, function(cause) return redis.call('EXISTS', queue .. ':cause:' .. cause) == 1 end, strike_ranks },
  of_cause = { ranks, has_this_cause, strike_ranks },
  workers = { all_of_set, function(process) return redis.call('EXISTS', queue .. ':worker:' .. process) == 1 end,
    strike_from_set },
  fields = { page_of_hash, has_entry, strike_fields },
  terms = { page_of_hash, has_entry, strike_terms },
  notes = { page_of_hash, function(id) return has_payload(id) or is_queued(id) or is_held(id) end, strike_fields },
  claims = { ranks, claim_lives, strike_claims },
  members = { ranks, function(id) return redis.call('ZSCORE', queue, id) end, strike_ranks },
  slots = { all_of_slots, slot_lives, strike_from_set },
}

local portion, lives, strike = unpack(kinds[kind])
local next_from, entries = portion()
local gone = {}
for _, entry in ipairs(entries) do
  if not lives(entry) then gone[#gone + 1] = entry end
end
if #gone > 0 and strikes then
  local moved = strike(gone)
  if moved > 0 and next_from ~= 0 then next_from = next_from - moved end
end
return { tostring(next_from), #gone }
