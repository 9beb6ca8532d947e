---------------------------------------------------------------------------------------------------- withdraw
-- Take a job that waits off its queue for good, with all that is kept about it; ask the worker of one that runs to
-- stop.

--@include held
--@include limits

-- Return 'absent', 'requested' (a worker has the job) or 'cancelled'; with the last also how often the job had been
-- tried, and its terms. The caller writes the event and tells the job's flow.
local function withdraw(queue, id)
  if not redis.call('ZSCORE', queue, id) then return 'absent' end
  if is_held(queue, id) then
    redis.call('ZADD', 'arq:abort', now_ms, id)
    return 'requested'
  end
  redis.call('ZREM', queue, id)
  for _, part in ipairs({ ':runs', ':progress', ':checkpoint', ':snoozes' }) do
    redis.call('HDEL', queue .. part, id)
  end
  redis.pcall('HDEL', queue .. ':attempts', id)
  -- A cancel may have been asked for while the job ran, before a retry: it must not meet another job under this id.
  redis.call('ZREM', 'arq:abort', id)
  local attempts = redis.call('MGET', 'arq:retry:' .. id)[1] or '0' -- MGET: a key of another type is none
  redis.call('DEL', 'arq:job:' .. id, 'arq:retry:' .. id)
  local terms = terms_of(queue, id)
  if terms then forget_terms(queue, id, terms) end
  return 'cancelled', attempts, terms
end
