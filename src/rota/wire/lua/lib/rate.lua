---------------------------------------------------------------------------------------------------- the queue's rate
-- How many jobs a queue that has a rate of its own lets start now, and who waits for the next. Wants now, terms, and
-- what step.lua says of its call.

-- The jobs that may be claimed now, at most `want`; and the rate, where there is one.
local function tokens()
  local interval, tolerance = string.match(queue_rate, '^(%d+) (%d+)$')
  if not interval then return want end
  local rate = { interval = tonumber(interval), tolerance = tonumber(tolerance) }
  rate.state = queue .. ':limit'
  rate.tat = sane(rate, redis.call('GET', rate.state))
  local free = 0
  while free < want and opens(rate, free) <= now_us do free = free + 1 end
  return free, rate
end

-- While the rate is closed, one worker waits for it, and is told for how long, ms; the others -1. `full` says that this
-- worker may have no slot left then: it lets another one do so.
local function pace(rate, full)
  local left = math.ceil((opens(rate, 0) - now_us) / 1000)
  local pacer = queue .. ':pacer'
  if full then
    redis.call('DEL', pacer)
    wake_queue(queue)
    return left
  end
  redis.call('SET', pacer, worker, 'NX', 'PX', left + 500)
  if redis.call('GET', pacer) ~= worker then return -1 end
  redis.call('PEXPIRE', pacer, left + 500)
  return left
end
