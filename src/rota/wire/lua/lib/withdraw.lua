---------------------------------------------------------------------------------------------------- withdraw
-- Take a job that waits off its queue for good, with all that is known of it; or ask the worker that has it to stop.
-- Wants now, terms. Who calls it tells the event, and the job's flow.

-- 'absent', 'requested' (a worker has it), or 'cancelled'; then how often it had been tried, and its terms.
local function withdraw(queue, id)
  if not redis.call('ZSCORE', queue, id) then return 'absent' end
  if redis.call('ZSCORE', queue .. ':active', id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1 then
    redis.call('ZADD', 'arq:abort', now_ms, id)
    return 'requested'
  end
  redis.call('ZREM', queue, id)
  for _, part in ipairs({ ':runs', ':progress', ':checkpoint', ':snoozes' }) do
    redis.call('HDEL', queue .. part, id)
  end
  -- Asked for while it ran, and it ran into a retry: the request must not meet another job under this id.
  redis.call('ZREM', 'arq:abort', id)
  local attempts = redis.call('GET', 'arq:retry:' .. id) or '0'
  redis.call('DEL', 'arq:job:' .. id, 'arq:retry:' .. id)
  local terms = terms_of(queue, id)
  if terms then forget_terms(queue, id, terms) end
  return 'cancelled', attempts, terms
end
