---------------------------------------------------------------------------------------------------- holders
-- Who holds a unique key, as one sees it who would put a job under it.

-- Return the job that holds a unique key. A holder that was deleted by hand holds it no longer; for a period the key
-- outlives its job.
local function holder_of(queue, unique, period)
  local holder = redis.call('GET', unique)
  if holder and period == 0 and not redis.call('ZSCORE', queue, holder) then return false end
  return holder
end

local function hold(unique, id, period)
  if period > 0 then redis.call('SET', unique, id, 'PX', period) else redis.call('SET', unique, id) end
end
