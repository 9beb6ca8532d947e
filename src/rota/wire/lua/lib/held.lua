---------------------------------------------------------------------------------------------------- held
-- Which jobs a worker has.

-- Tell whether a worker has a job. A stock worker is known by arq's in-progress key alone.
local function is_held(queue, id)
  return redis.call('ZSCORE', queue .. ':active', id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1
end
