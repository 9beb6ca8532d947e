-- enqueue: put jobs on one queue, and wake one worker.
--
-- KEYS  1 queue  2 wake  3 events ('' = write none)
-- ARGV  1 queue's name in events  2 events to keep  3 1 = an id whose job has finished may be used again
--       then, for each job, 9 values: id, payload, due in ms (-1 = now), delay in ms, life of the payload in ms
--       (0 = for ever), job's name, terms ('' = none), unique key ('' = none) with how long it holds behind a blank
--       (`<key> <ms>`; 0 = as the terms say), what to do where the id or the key is taken: refuse, existing, replace
--       (the job that waits gets this payload and these terms, and keeps its place) or debounce (the same, but it waits
--       for its delay from the start)
-- Returns for each job 1 = put, { 0, id of the job that has the place } = nothing was changed, { 2, id } = replaced.
--
-- Keeps true: an id has at most one live job, and so has a unique key. A job that runs is never replaced.

local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local queue_name, keep_events, may_reuse = ARGV[1], ARGV[2], ARGV[3] == '1'

--@include now
--@include chunks

-- Return what knows terms and limits. That is most of this script, and most jobs have no terms: it is put together when
-- the first job needs it.
local limits
local function with_limits()
  limits = limits or (function()
--@include put
    return { arrange = arrange, schedule = schedule, terms_of = terms_of, due_in_line = due_in_line,
      leave_lines = leave_lines, unindex_priority = unindex_priority, release_unique = release_unique,
      wake_others = wake_others }
  end)()
  return limits
end

local function tell(id, task, due, ...)
  if events == '' then return end
  redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', 'type', 'enqueued', 'queue', queue_name, 'id', id,
    'task', task, 'due', ms(due), ...)
end

-- Return the job that holds a unique key. A holder that was deleted by hand holds it no longer; for a period the key
-- outlives its job.
local function holder_of(unique, period)
  local holder = redis.call('GET', unique)
  if holder and period == 0 and not redis.call('ZSCORE', queue, holder) then return false end
  return holder
end

local function hold(unique, id, period)
  if period > 0 then redis.call('SET', unique, id, 'PX', period) else redis.call('SET', unique, id) end
end

-- Give the job that waits under `id` another payload and other terms, and return when it is due; false if none waits.
-- Unless `is_moved` it keeps its place.
local function replace(id, payload, due, is_moved, terms, unique, period)
  local score = redis.call('ZSCORE', queue, id)
  local held = redis.call('ZSCORE', queue .. ':active', id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1
  if not score or held or redis.call('EXISTS', 'arq:job:' .. id) == 0 then return false end
  local parts = with_limits()
  local former = parts.terms_of(queue, id)
  if not is_moved then due = former and parts.due_in_line(queue, id, former) or tonumber(score) end
  if former then
    redis.call('HDEL', queue .. ':terms', id)
    parts.unindex_priority(queue, id, former)
    parts.leave_lines(queue, id, former)
    parts.release_unique(id, former, 'f')
  end
  redis.call('HDEL', queue .. ':runs', id)
  redis.call('HDEL', queue .. ':snoozes', id)
  redis.pcall('HDEL', queue .. ':attempts', id)
  redis.call('ZREM', 'arq:abort', id)
  redis.call('SET', 'arq:job:' .. id, payload)
  redis.call('DEL', 'arq:retry:' .. id)
  if terms == '' then parts.schedule(queue, id, due) else parts.arrange(queue, id, due, terms) end
  if unique then hold(unique, id, period) end
  return due
end

local answers, scores, results, put_ids = {}, {}, {}, {}

-- Put a job, and return whether its id was free. The jobs without terms are put on the queue together, at the end.
local function put_new(id, payload, due, life, task, terms, unique, period)
  if not redis.call('SET', 'arq:job:' .. id, payload, 'NX') then return false end
  if life > 0 then redis.call('PEXPIRE', 'arq:job:' .. id, ms(due - now + life)) end
  if unique then hold(unique, id, period) end
  if terms == '' then
    scores[#scores + 1] = ms(due)
    scores[#scores + 1] = id
  else
    with_limits().arrange(queue, id, due, terms)
  end
  results[#results + 1] = 'arq:result:' .. id
  put_ids[#put_ids + 1] = id
  tell(id, task, due)
  return true
end

for at = 4, #ARGV, 9 do
  local id, payload, due, delay, life, task, terms, unique_term, on_taken = unpack(ARGV, at, at + 8)
  due, delay = tonumber(due), tonumber(delay)
  local unique, period
  if unique_term ~= '' then
    unique, period = string.match(unique_term, '^(%S+) (%d+)$')
    period = tonumber(period)
  end
  local is_moved = on_taken == 'debounce' or due >= 0 or delay > 0
  if due < 0 then due = now + delay end

  local holder = unique and holder_of(unique, period)
  local is_free = not holder and (may_reuse or redis.call('EXISTS', 'arq:result:' .. id) == 0)
  if is_free and put_new(id, payload, due, tonumber(life), task, terms, unique, period) then
    answers[#answers + 1] = 1
  else
    holder = holder or id
    local new_due = (on_taken == 'replace' or on_taken == 'debounce')
      and replace(holder, payload, due, is_moved, terms, unique, period)
    if new_due then tell(holder, task, new_due, 'reason', 'replaced') end
    answers[#answers + 1] = { new_due and 2 or 0, holder }
  end
end

chunked('ZADD', queue, scores)
-- A stock client may have asked to abort the last job of an id when that was over.
chunked('ZREM', 'arq:abort', put_ids)
delete(results)
if #results > 0 and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
if limits then limits.wake_others(queue) end
return answers
