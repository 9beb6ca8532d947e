---------------------------------------------------------------------------------------------------- held
-- Tells which jobs are held: those that a worker has, whatever kind of worker it is.

-- Tell whether a worker has a job. A stock worker is known by arq's in-progress key alone.
local function is_held(queue, id)
  return redis.call('ZSCORE', queue .. ':active', id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1
end
