---------------------------------------------------------------------------------------------------- the queue's limits
-- How many jobs a queue with limits of its own lets start now, and which worker waits for its next turn. Expects what
-- step.lua says of its call.
--
-- Such limits park no jobs: they cap what a step may claim. While the rate is closed one worker, the pacer, waits for
-- the next turn and the others sleep. While as many jobs run in the whole fleet as may, all sleep: the step that
-- settles one of them claims the next, or leaves a token where its worker wants none.

--@include wake

-- Return how many more jobs the whole fleet may run of this queue; nil where it may run any number.
local function fleet_room()
  local most = string.match(queue_limits, '/(%d+)$')
  return most and math.max(0, tonumber(most) - redis.call('ZCARD', active))
end

-- Return how many jobs may be claimed now, at most `want`; the rate, where there is one; and the room in the fleet,
-- where that is limited.
local function startable()
  if queue_limits == '' then return want end
  local room = fleet_room()
  local at_once = math.min(want, room or want)
  local interval, tolerance = string.match(queue_limits, '^(%d+) (%d+)')
  if not interval then return at_once, nil, room end
  local rate = { key = queue .. ':limit', interval = tonumber(interval), tolerance = tonumber(tolerance) }
  local rates = with_terms().rates
  rate.tat = rates.sane(rate, redis.call('GET', rate.key))
  local most = 0
  while most < at_once and rates.opens_at(rate, most) <= rates.now_us do most = most + 1 end
  return most, rate, room
end

local function is_closed(rate)
  local rates = with_terms().rates
  return rates.opens_at(rate, 0) > rates.now_us
end

-- Return how long this worker is to wait for a rate that is closed, ms; -1 for all but the pacer. `full` says that this
-- worker may have no free slot by then: it makes room for another pacer.
local function pace(rate, full)
  local rates = with_terms().rates
  local left = math.ceil((rates.opens_at(rate, 0) - rates.now_us) / 1000)
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
