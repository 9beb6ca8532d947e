---------------------------------------------------------------------------------------------------- the queue's rate
-- How many jobs a queue with a rate of its own lets start now, and which worker waits for its next turn. Expects what
-- step.lua says of its call.
--
-- Such a rate parks no jobs: it caps what a step may claim. While it is closed one worker, the pacer, waits for the
-- next turn and the others sleep.

--@include rates
--@include wake

-- Return how many jobs may be claimed now, at most `want`; and the rate, where there is one.
local function startable()
  local interval, tolerance = string.match(queue_rate, '^(%d+) (%d+)$')
  if not interval then return want end
  local rate = { key = queue .. ':limit', interval = tonumber(interval), tolerance = tonumber(tolerance) }
  rate.tat = sane(rate, redis.call('GET', rate.key))
  local most = 0
  while most < want and opens_at(rate, most) <= now_us do most = most + 1 end
  return most, rate
end

-- Return how long this worker is to wait for a rate that is closed, ms; -1 for all but the pacer. `full` says that this
-- worker may have no free slot by then: it makes room for another pacer.
local function pace(rate, full)
  local left = math.ceil((opens_at(rate, 0) - now_us) / 1000)
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
