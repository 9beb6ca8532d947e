-- cancel: take a waiting job off its queue, or ask the worker that runs it to stop.
--
-- KEYS  1 queue  2 events
-- ARGV  1 queue's name in events  2 entries of events to keep  3 id  4 record for arq:result ('' = none)  5 its life, ms
--       6 job's name  7 detail (error, JSON)
-- Returns 'cancelled' (it was waiting), 'requested' (a worker has it: stopped within a second), 'absent'.
--
-- Keeps true: a cancelled job has left its queue, its limits and its flow in one step; nothing of it is left but the
-- record; if a command fails, nothing of it has changed. A request to stop lasts no longer than its job, or a day.

local queue, events = KEYS[1], KEYS[2]
local queue_name, keep_events, id, record, record_life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local task, detail = ARGV[6], ARGV[7]

--@include whole
--@include ends

local function cancel()
  local answer, attempts, terms = withdraw(queue, id)
  if answer ~= 'cancelled' then return answer end
  if record ~= '' then redis.call('SET', 'arq:result:' .. id, record, 'PX', record_life) end
  tell('cancelled', queue_name, id, task, attempts, nil, { reason = 'cancelled' }, detail, nil, terms)
  tell_end(terms, 'cancelled', detail, id)
  return answer
end

-- Requests for jobs that finished before they were read would stay for ever. A full Redis allows this first write, and
-- what follows it.
redis.call('ZREMRANGEBYSCORE', 'arq:abort', '-inf', ms(now - DAY))
local answer = whole(cancel)
write_events()
pcall(wake_others)
return answer
