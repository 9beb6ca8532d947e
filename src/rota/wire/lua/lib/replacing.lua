---------------------------------------------------------------------------------------------------- replacement
-- A job that waits, and is replaced by one that may not be put beside it.

--@include arrange
--@include held
--@include holders

-- Give the job that waits under `id` another payload and other terms, and return when it is due; false if none waits.
-- Unless `is_moved` it keeps its place.
local function replace(queue, id, payload, due, is_moved, terms, unique, period)
  local score = redis.call('ZSCORE', queue, id)
  if not score or is_held(queue, id) or redis.call('EXISTS', 'arq:job:' .. id) == 0 then return false end
  local former = terms_of(queue, id)
  if not is_moved then due = former and due_in_line(queue, id, former) or tonumber(score) end
  -- The keys come first: if this fails on the way, the same call finds the job under them, and replaces it.
  if unique then hold(unique, id, period) end
  if former then
    unindex_priority(queue, id, former)
    leave_lines(queue, id, former)
    if not unique or unique ~= string.match(former, 'u=([^|]*)') then release_unique(id, former, 'f') end
    if terms == '' then redis.call('HDEL', queue .. ':terms', id) end
  end
  redis.call('HDEL', queue .. ':runs', id)
  redis.call('HDEL', queue .. ':snoozes', id)
  redis.pcall('HDEL', queue .. ':attempts', id)
  redis.call('ZREM', 'arq:abort', id)
  redis.call('SET', 'arq:job:' .. id, payload)
  redis.call('DEL', 'arq:retry:' .. id)
  if terms == '' then schedule(queue, id, due) else arrange(queue, id, due, terms) end
  return due
end
