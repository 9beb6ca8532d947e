-- sweep: strike from one collection of a queue what belongs to nothing any more, a portion at a time.
--
-- KEYS  1 queue  2 collection
-- ARGV  1 kind: `letters` (the list of dead letters), `workers` (the list of processes), `fields` (a hash by job)
--       2 where the portion begins: '0', or what the call before returned   3 how many entries to look at
-- Returns { where the next portion begins ('0' = this was the last), how many entries were struck }.
--
-- Keeps true: nothing is struck of a job that has a payload, waits, is claimed or is remembered, in the moment in which it
-- is struck; nor a letter that can be read, nor a process whose heartbeat has not expired.

local queue, collection = KEYS[1], KEYS[2]
local kind, from, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- For each kind: return where the next portion begins, and the entries of this one; tell whether one belongs to something;
-- strike some.
local kinds = {
  letters = {
    portion = function()
      local ids = redis.call('ZRANGE', collection, from, from + count - 1)
      return #ids == count and from + count or 0, ids
    end,
    lives = function(id) return redis.call('EXISTS', collection .. ':' .. id) == 1 end,
    strike = function(ids)
      redis.call('ZREM', collection, unpack(ids))
      return #ids -- those behind them move up
    end,
  },
  workers = {
    portion = function() return 0, redis.call('SMEMBERS', collection) end,
    lives = function(process) return redis.call('EXISTS', queue .. ':worker:' .. process) == 1 end,
    strike = function(processes)
      for _, process in ipairs(processes) do redis.call('SREM', collection, process) end
      return 0
    end,
  },
  fields = {
    portion = function()
      local page, ids = redis.call('HSCAN', collection, ARGV[2], 'COUNT', count), {}
      for i = 1, #page[2], 2 do ids[#ids + 1] = page[2][i] end
      return page[1], ids
    end,
    lives = function(id)
      return redis.call('EXISTS', 'arq:job:' .. id) == 1 or redis.call('ZSCORE', queue, id)
        or redis.call('ZSCORE', queue .. ':active', id) or redis.call('HEXISTS', queue .. ':runs', id) == 1
    end,
    strike = function(ids)
      for _, id in ipairs(ids) do redis.call('HDEL', collection, id) end
      return 0
    end,
  },
}

local swept = kinds[kind]
local next_from, entries = swept.portion()
local gone = {}
for _, entry in ipairs(entries) do
  if not swept.lives(entry) then gone[#gone + 1] = entry end
end
if #gone > 0 then
  local moved = swept.strike(gone)
  if moved > 0 and next_from ~= 0 then next_from = next_from - moved end
end
return { tostring(next_from), #gone }
