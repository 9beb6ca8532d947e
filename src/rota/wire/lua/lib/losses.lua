---------------------------------------------------------------------------------------------------- losses
-- Jobs whose claims were lost go back to their places, and some of the losses count against them. Expects what step.lua
-- says of its call; reap.lua puts this together when it is needed.

local function worker_of(token) return string.match(token, '^([^!]*):%d+:%d+:%d+') end

local function add_workers(fallen, entries)
  for i = 1, #entries do
    local name = entries[i] and worker_of(parse(entries[i]))
    if name then fallen[name] = true end
  end
end

-- Return the workers whose claims have ended, and those whose claims were not renewed for half a lease and are about
-- to; and the one whose claims ended a moment ago.
local function find_fallen(entries)
  local fallen = {}
  if not service then return fallen end
  local late = redis.call('ZRANGEBYSCORE', active, now_ms, ms(now + lease / 2), 'LIMIT', 0, 100)
  add_workers(fallen, #late > 0 and redis.call('HMGET', runs, unpack(late)) or {})
  fallen[worker] = nil -- it makes this call: it has not fallen, however late its claims are
  add_workers(fallen, entries)
  return fallen, redis.call('MGET', step_prefix .. ':fell')[1]
end

-- Tell whether a claim ended for a cause that is not its job's: several workers fell at about the same time, as with
-- their machine, or its worker had been told to stop, as by a deploy. After such a loss the next one counts in any
-- case, so that a job that kills machines is found.
local function is_shared(token, fallen, fell_before)
  local name = worker_of(token)
  if not (service and name) or string.sub(token, -1) == '~' then return false end
  for other in pairs(fallen) do
    if other ~= name then return true end
  end
  if fell_before and fell_before ~= name then return true end
  return redis.call('EXISTS', step_prefix .. ':' .. name .. ':stop') == 1
end

-- Tell whether there is nothing to take back: a stock worker has taken the job over, or has finished it.
local function is_gone(id, token)
  if not token or is_memory(token) then return true end
  local holder = redis.call('MGET', HELD .. id)[1] -- MGET: a key of another type reads as absent
  local taken = holder and holder ~= token
  return taken or not redis.call('ZSCORE', queue, id)
end

local function forget_claim(id, token, terms)
  if token and is_memory(token) then return end -- a step that failed has taken it back
  local is_there = redis.call('ZSCORE', queue, id)
  if service and is_there then count_attempts(id, 1) end
  redis.call('HDEL', runs, id)
  if not is_there then
    if terms then with_terms().forget_terms(queue, id, terms) end
    forget_checkpoints({ id })
  end
  if service and has.snoozes then redis.call('HDEL', snoozes, id) end
  forget_failures({ id })
end

-- Return the mark of a lost job: the worker that had it, the time since which it waits again, whether the loss counts.
local function mark_of(token, counts)
  return '-!' .. (worker_of(token) or '') .. '@' .. now_ms .. (counts and '' or '~')
end

-- Put a job that was lost back to its old place. In the service its attempt is unspent, as none is counted before it ends.
local function take_back(id, token, due, lost, unknown, terms, counts)
  due = math.min(due, now) -- the clock may have been set back
  redis.call('DEL', HELD .. id)
  redis.call('ZADD', queue, ms(due), id)
  if terms then with_terms().index_priority(queue, id, due, terms) end
  if service then count_attempts(id, 0) end
  redis.call('HSET', runs, id, format(mark_of(token, counts), due, 0, lost + (counts and 1 or 0), unknown))
  tell('lost', queue_name, id, '', 0, nil, { detail = token }, nil, nil, terms)
end
