---------------------------------------------------------------------------------------------------- wake tokens
-- A queue's wake token, of which there is at most one, tells one idle worker that something is due.

local woken = {} -- the queues in which this script made something due that was not

local function wake_queue(queue)
  if redis.call('LLEN', queue .. ':wake') == 0 then redis.call('LPUSH', queue .. ':wake', '1') end
end

-- Leave a token for each queue in which this script made something due, but for `own`: its caller looks after that one.
local function wake_others(own)
  for queue in pairs(woken) do
    if queue ~= own then wake_queue(queue) end
  end
end
