---------------------------------------------------------------------------------------------------- losses
-- Which of the claims whose leases have ended count against their jobs. Expects what step.lua says of its call; reap.lua
-- puts this together when it is needed.

local function worker_of(token) return string.match(token, '^([^!]*):%d+:%d+:%d+') end

-- Return the workers whose claims have ended, and those whose claims were not renewed for half a lease and are about
-- to; and the one whose claims ended a moment ago.
local function find_fallen(entries)
  local fallen = {}
  if not service then return fallen end
  local late = redis.call('ZRANGEBYSCORE', active, now_ms, ms(now + lease / 2), 'LIMIT', 0, 100)
  local theirs = #late > 0 and redis.call('HMGET', runs, unpack(late)) or {}
  for _, list in ipairs({ entries, theirs }) do
    for i = 1, #list do
      local name = list[i] and worker_of(parse(list[i]))
      if name then fallen[name] = true end
    end
  end
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
