---------------------------------------------------------------------------------------------------- lines
-- Where jobs wait that a limit keeps back: for each key of a limit a line, ordered by the times the jobs were due at.
--
-- A job that may not start yet is parked: it becomes due again, in its queue and in `<queue>:parked`, at the time at
-- which it probably may start, and it stands in the line of its key, `<queue>:line:<limit>:<key>`. Whatever uses a turn
-- or frees a slot makes the head of the line due, so that no job is looked at twice in vain. Each parked job becomes
-- due by itself in the end, so a line goes on even where its head was removed by another hand.
--
-- `limit_key` is `<limit>:<key>`: the Redis key that holds what the limit counts for that key.

--@include priorities

local function line_of(queue, limit_key) return queue .. ':line:' .. limit_key end

-- Enter a job into a line, unless it stands there already, and return how many are before it.
local function join(queue, limit_key, id, due)
  local line = line_of(queue, limit_key)
  redis.call('ZADD', line, 'NX', ms(due), id)
  return redis.call('ZRANK', line, id)
end

-- Make a job that may not start due again at `score`.
local function park(queue, id, score, terms)
  schedule(queue, id, score, terms)
  redis.call('ZADD', queue .. ':parked', ms(score), id)
end

-- Remove from a line a job that has left its queue.
local function drop_ghost(queue, line, id)
  redis.call('ZREM', line, id)
  redis.call('ZREM', queue .. ':parked', id)
end
