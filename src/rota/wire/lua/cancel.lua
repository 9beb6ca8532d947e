-- cancel: take a waiting job off its queue, or ask the worker that runs it to stop.
--
-- KEYS  1 queue  2 events
-- ARGV  1 queue's name in events  2 events to keep  3 id  4 record for arq:result ('' = none)  5 its life, ms
--       6 job's name  7 detail (error, JSON)
-- Returns 'cancelled' (it was waiting), 'requested' (a worker has it: stopped within a second), 'absent'.

--@include now
--@include terms
--@include put
--@include withdraw
local queue, events, id = KEYS[1], KEYS[2], ARGV[3]
local keep_events = ARGV[2]
--@include flow

local answer, attempts, terms = withdraw(queue, id)
if answer == 'requested' then
  -- Requests for jobs that finished first would stay for ever.
  redis.call('ZREMRANGEBYSCORE', 'arq:abort', '-inf', ms(now - 86400000))
elseif answer == 'cancelled' then
  if ARGV[4] ~= '' then redis.call('SET', 'arq:result:' .. id, ARGV[4], 'PX', ARGV[5]) end
  redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', 'type', 'cancelled', 'queue', ARGV[1], 'id', id,
    'task', ARGV[6], 'attempt', attempts, 'detail', ARGV[7], 'reason', 'cancelled')
  tell_end(terms, 'cancelled', ARGV[7], id)
  for waiting in pairs(woken) do wake_queue(waiting) end
end
return answer
