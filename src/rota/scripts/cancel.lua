-- cancel: take a waiting job off its queue, or ask the worker that runs it to stop.
--
-- KEYS  1 queue  2 active  3 runs  4 events  5 progress  6 checkpoint
-- ARGV  1 queue's name in events  2 events to keep  3 id  4 record for arq:result ('' = none)  5 its life, ms
--       6 job's name  7 detail (error, JSON)
-- Returns 'cancelled' (it was waiting), 'requested' (a worker has it: stopped within a second), 'absent'.

--@include now
--@include terms
--@include put
local queue, active, runs, events, id = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[3]
local keep_events = ARGV[2]
--@include flow

if not redis.call('ZSCORE', queue, id) then return 'absent' end
if redis.call('ZSCORE', active, id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1 then
  redis.call('ZADD', 'arq:abort', now_ms, id)
  -- Requests for jobs that finished first would stay for ever.
  redis.call('ZREMRANGEBYSCORE', 'arq:abort', '-inf', ms(now - 86400000))
  return 'requested'
end
redis.call('ZREM', queue, id)
redis.call('HDEL', runs, id)
redis.call('HDEL', KEYS[5], id)
redis.call('HDEL', KEYS[6], id)
redis.call('HDEL', queue .. ':snoozes', id)
-- Asked for while it ran, and it ran into a retry: the request must not meet another job under this id.
redis.call('ZREM', 'arq:abort', id)
local attempts = redis.call('GET', 'arq:retry:' .. id) or '0'
redis.call('DEL', 'arq:job:' .. id, 'arq:retry:' .. id)
local terms = terms_of(queue, id)
if terms then forget_terms(queue, id, terms) end
if ARGV[4] ~= '' then redis.call('SET', 'arq:result:' .. id, ARGV[4], 'PX', ARGV[5]) end
redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'cancelled', 'queue', ARGV[1], 'id', id, 'task', ARGV[6],
  'attempt', attempts, 'detail', ARGV[7], 'reason', 'cancelled')
tell_end(terms, 'cancelled', ARGV[7], id)
for waiting in pairs(woken) do wake_queue(waiting) end
return 'cancelled'
