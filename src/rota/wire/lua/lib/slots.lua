---------------------------------------------------------------------------------------------------- slots
-- Concurrency limits: for each key of one the set of the jobs that run, `<queue> <id>`, of which there may be `most`.
--
-- A slot belongs to its job from the claim to the settlement or the reaping, in the same scripts as the lease. The
-- slots of one key are { key, most, taken }. Jobs of several queues may share them: `<limit>:<key>:lines` names the
-- queues with a line for them.

--@include lines
--@include wake

-- More than any limit allows.
local MOST_SLOTS = 1000000000

local slots_read = {} -- by key: those that this script has read
local started = {} -- jobs that this script lets start: they have no run entry yet

-- Return the jobs that hold a slot. A key of another type holds none, and is in the way of those that will.
local function taken_of(limit_key)
  local taken = redis.pcall('SCARD', limit_key)
  if type(taken) == 'number' then return taken end
  if not string.find(tostring(taken.err), 'WRONGTYPE', 1, true) then error(taken, 0) end
  redis.call('DEL', limit_key)
  return 0
end

-- Return the slots that a term names; nil for a term that cannot be read, which limits nothing.
local function slots_of(slots_term)
  local limit, key, most = string.match(slots_term, '^(.-)|(.-)|(%d+)$')
  if not limit then return nil end
  local limit_key = limit .. ':' .. key
  if slots_read[limit_key] then return slots_read[limit_key] end
  local written = redis.call('MGET', limit)[1] -- MGET: a key of another type reads as absent
  most = math.min(tonumber(string.match(written or '', '^%d+$') or most), MOST_SLOTS)
  local slots = { key = limit_key, most = most, taken = taken_of(limit_key) }
  slots_read[limit_key] = slots
  return slots
end

-- Free the slots of jobs that are not claimed: a stock worker took them over, or their keys were deleted by hand.
local function recount(slots)
  if slots.recounted then return end
  slots.recounted = true
  for _, holder in ipairs(redis.call('SMEMBERS', slots.key)) do
    local queue, id = string.match(holder, '^(%S+) (.*)$')
    local entry = redis.call('HGET', queue .. ':runs', id)
    if not started[holder] and (not entry or string.sub(entry, 1, 1) == '-') then
      redis.call('SREM', slots.key, holder)
      slots.taken = slots.taken - 1
    end
  end
end

-- Make as many jobs due, in each queue's line, as there are free slots.
local function fill(slots)
  local free = slots.most - slots.taken
  if free <= 0 then return end
  local lines = slots.key .. ':lines'
  for _, queue in ipairs(redis.call('SMEMBERS', lines)) do
    local line = line_of(queue, slots.key)
    local heads = redis.call('ZRANGE', line, 0, free - 1, 'WITHSCORES')
    if #heads == 0 then redis.call('SREM', lines, queue) end
    for i = 1, #heads, 2 do
      local id, due = heads[i], tonumber(heads[i + 1])
      local score = redis.call('ZSCORE', queue, id)
      if not score then
        drop_ghost(queue, line, id)
      elseif tonumber(score) > now then
        schedule(queue, id, math.min(due, now), terms_of(queue, id)) -- the clock may have been set back
        redis.call('ZREM', queue .. ':parked', id)
        woken[queue] = true
      end
    end
  end
end

local function take_slot(queue, id, slots)
  local holder = queue .. ' ' .. id
  started[holder] = true
  slots.taken = slots.taken + redis.call('SADD', slots.key, holder)
end

-- Free the slot of a job that runs no longer, if it had one.
local function free_slot(queue, id, terms)
  local slots_term = term(terms, 'c')
  if not slots_term then return end
  local slots = slots_of(slots_term)
  if slots and redis.call('SREM', slots.key, queue .. ' ' .. id) == 1 then
    slots.taken = slots.taken - 1
    fill(slots)
  end
end

-- Leave the line for a slot, and let the next jobs in it move up.
local function leave_slots(queue, id, slots)
  if redis.call('ZREM', line_of(queue, slots.key), id) == 1 then fill(slots) end
end
