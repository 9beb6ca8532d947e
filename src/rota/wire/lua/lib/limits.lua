---------------------------------------------------------------------------------------------------- limits
-- What a job's limits mean for it: whether it may start, what its start takes, and what its end gives back.

--@include uniqueness
--@include rates
--@include slots

-- A job that waits for a slot becomes due after this time even if nothing made it due before, ms.
local BACKSTOP = 60000

-- Return the slots and the rate that a job needs, nil for what it does not.
local function limits_of(terms)
  local slots_term, rate_term = term(terms, 'c'), term(terms, 'r')
  return slots_term and slots_of(slots_term), rate_term and rate_of(rate_term)
end

-- Tell whether terms are ours: those that another hand has changed limit nothing where they cannot be read.
local function are_readable(terms)
  local slots_term, rate_term = term(terms, 'c'), term(terms, 'r')
  if slots_term and not slots_of(slots_term) or rate_term and not rate_of(rate_term) then return false end
  return string.find(terms, '^%l=%S') ~= nil
end

-- Return when a job was due that waits in a line; nil for one that waits in none.
local function due_in_line(queue, id, terms)
  local slots, rate = limits_of(terms)
  local due = slots and redis.call('ZSCORE', line_of(queue, slots.key), id)
  return tonumber(due or rate and redis.call('ZSCORE', line_of(queue, rate.key), id) or nil)
end

local function leave_lines(queue, id, terms)
  local slots, rate = limits_of(terms)
  if not (slots or rate) then return end
  redis.call('ZREM', queue .. ':parked', id)
  if slots then leave_slots(queue, id, slots) end
  if rate then leave_rate(queue, id, rate) end
end

-- Tell whether a slot is free for a job; park the job otherwise.
local function has_slot(queue, id, due, terms, slots, rate)
  local rank = join(queue, slots.key, id, due)
  if rank >= slots.most - slots.taken then recount(slots) end
  if rank < slots.most - slots.taken then return true end
  redis.call('SADD', slots.key .. ':lines', queue)
  if rate then leave_rate(queue, id, rate) end
  park(queue, id, now + BACKSTOP + rank * 100, terms)
  return false
end

-- Tell whether the rate lets a job start now; park the job otherwise.
local function has_turn(queue, id, due, terms, slots, rate)
  local turn = opens_at(rate, join(queue, rate.key, id, due))
  if turn <= now_us then return true end
  -- A job that waits for its turn must not keep those behind it from a slot that is free.
  if slots then leave_slots(queue, id, slots) end
  park(queue, id, math.ceil(turn / 1000), terms)
  return false
end

-- Tell whether a due job may start now as far as its limits go; one that may not is parked.
local function may_start(queue, id, due, terms)
  local slots, rate = limits_of(terms)
  if slots and not has_slot(queue, id, due, terms, slots, rate) then return false end
  return not rate or has_turn(queue, id, due, terms, slots, rate)
end

-- Take what the start of a job takes of its limits; the next jobs in its lines move up. Its unique key, if it is only
-- held until the start, is released when the job has been claimed.
local function start(queue, id, terms)
  local slots, rate = limits_of(terms)
  if slots then take_slot(queue, id, slots) end
  if rate then count_start(rate) end
  leave_lines(queue, id, terms)
end

-- Give back all that a job that has ended for good held by its terms.
local function give_back(queue, id, terms)
  unindex_priority(queue, id, terms)
  free_slot(queue, id, terms)
  leave_lines(queue, id, terms)
  release_unique(id, terms, 'f')
end

local function forget_terms(queue, id, terms)
  give_back(queue, id, terms)
  redis.call('HDEL', queue .. ':terms', id)
end
