-- enqueue: put jobs on one queue, and wake one worker.
--
-- KEYS  1 queue  2 wake  3 events ('' = write none)
-- ARGV  1 queue's name in events  2 events to keep  3 1 = an id whose job has finished may be used again
--       then, for each job, 9 values: id, payload, due in ms (-1 = now), delay in ms, life of the payload in ms
--       (0 = for ever), job's name, terms ('' = none), unique key ('' = none) with how long it holds behind a blank
--       (`<key> <ms>`; 0 = as the terms say), what to do where the id or the key is taken: refuse, existing, replace
--       (the job that waits takes over payload and terms, and its place) or debounce (the same, and waits anew)
-- Returns for each job 1 = put, { 0, id of the job that has the place } = nothing was changed, { 2, id } = replaced.

--@include now
--@include chunks
--@include terms
--@include put
local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local answers, scores, results, fresh_ids = {}, {}, {}, {}

local function tell(id, task, due, payload, reason)
  if events == '' then return end
  if reason then
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'enqueued', 'queue', ARGV[1], 'id', id,
      'task', task, 'due', ms(due), 'payload', payload, 'reason', reason)
  else
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'enqueued', 'queue', ARGV[1], 'id', id,
      'task', task, 'due', ms(due), 'payload', payload)
  end
end

-- The job that holds a unique key, if it does still.
local function holder_of(unique, period)
  local holder = redis.call('GET', unique)
  if holder and period == 0 and not redis.call('ZSCORE', queue, holder) then return false end
  return holder
end

local function hold(unique, id, period)
  if period > 0 then redis.call('SET', unique, id, 'PX', period) else redis.call('SET', unique, id) end
end

local function replace(id, payload, due, fresh, terms, unique, period)
  local score = redis.call('ZSCORE', queue, id)
  local held = redis.call('ZSCORE', queue .. ':active', id) or redis.call('EXISTS', 'arq:in-progress:' .. id) == 1
  if not score or held or redis.call('EXISTS', 'arq:job:' .. id) == 0 then return false end
  local former = terms_of(queue, id)
  if not fresh then due = former and place_of(queue, id, former) or tonumber(score) end
  if former then
    redis.call('HDEL', queue .. ':terms', id)
    unindex(queue, id, former)
    leave(queue, id, former)
    forget_unique(former, 'f', id)
  end
  redis.call('HDEL', queue .. ':runs', id)
  redis.call('HDEL', queue .. ':snoozes', id)
  redis.call('ZREM', 'arq:abort', id)
  redis.call('SET', 'arq:job:' .. id, payload)
  redis.call('DEL', 'arq:retry:' .. id)
  if terms == '' then place(queue, id, due) else arrange(queue, id, due, terms) end
  if unique then hold(unique, id, period) end
  return due
end

for at = 3, #ARGV - 1, 9 do
  local id, payload, due, delay, life = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]),
    tonumber(ARGV[at + 5])
  local task, terms, taken = ARGV[at + 6], ARGV[at + 7], ARGV[at + 9]
  local unique, period
  if ARGV[at + 8] ~= '' then
    unique, period = string.match(ARGV[at + 8], '^(%S+) (%d+)$')
    period = tonumber(period)
  end
  local fresh = taken == 'debounce' or due >= 0 or delay > 0
  if due < 0 then due = now + delay end

  local holder = unique and holder_of(unique, period)
  local free = not holder and (ARGV[3] == '1' or redis.call('EXISTS', 'arq:result:' .. id) == 0)
  if free and redis.call('SET', 'arq:job:' .. id, payload, 'NX') then
    answers[#answers + 1] = 1
    if life > 0 then redis.call('PEXPIRE', 'arq:job:' .. id, ms(due - now + life)) end
    if unique then hold(unique, id, period) end
    if terms == '' then
      scores[#scores + 1] = ms(due)
      scores[#scores + 1] = id
    else
      arrange(queue, id, due, terms)
    end
    results[#results + 1] = 'arq:result:' .. id
    fresh_ids[#fresh_ids + 1] = id
    tell(id, task, due, payload)
  else
    holder = holder or id
    local moved = (taken == 'replace' or taken == 'debounce')
      and replace(holder, payload, due, fresh, terms, unique, period)
    if moved then
      answers[#answers + 1] = { 2, holder }
      tell(holder, task, moved, payload, 'replaced')
    else
      answers[#answers + 1] = { 0, holder }
    end
  end
end

chunked('ZADD', queue, scores)
-- A stock client may have asked to abort the job that had the id before, when it was over.
chunked('ZREM', 'arq:abort', fresh_ids)
delete(results)
if #results > 0 and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
wake_others(queue)
return answers
