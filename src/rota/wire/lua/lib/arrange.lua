---------------------------------------------------------------------------------------------------- arrangement
-- A job's place: its terms and its queue, or the lines of the limits that keep it back.

--@include limits

-- Give a job its terms and its place; it is parked at once if it is due and a limit keeps it back.
local function arrange(queue, id, due, terms)
  redis.call('HSET', queue .. ':terms', id, terms)
  schedule(queue, id, due, terms)
  if due <= now then may_start(queue, id, due, terms) end
end

-- Take a job off its queue that was put there in part, or in vain.
local function take_off(queue, id, terms)
  redis.pcall('ZREM', queue, id)
  if terms ~= '' then pcall(forget_terms, queue, id, terms) end
end
