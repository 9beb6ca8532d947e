---------------------------------------------------------------------------------------------------- putting
-- Jobs on one queue, put there as a whole or not at all, and what is done where an id or a unique key is taken. Expects
-- the locals `queue`, `wake`, `events`, `keep_events`, `queue_name` and `may_reuse` (an id whose job has finished may be
-- used again).

--@include now
--@include chunks
--@include events
--@include faults
--@include holders
--@include sealed

-- Return what knows terms and limits. That is most of this script, and most jobs have no terms: it is put together when
-- the first job needs it.
local limits
local function with_limits()
  limits = limits or (function()
--@include replacing
    return { arrange = arrange, replace = replace, take_off = take_off, wake_others = wake_others }
  end)()
  return limits
end

local answers, scores, results, put_ids = {}, {}, {}, {}
local begun = {} -- the jobs that this call puts, whole or in part: { id, terms, unique key }

-- Put a job, and return whether its id was free. The jobs without terms are put on the queue together, at the end.
local function put_new(id, payload, due, life, task, terms, unique, period)
  if not redis.call('SET', 'arq:job:' .. id, payload, 'NX') then return false end
  begun[#begun + 1] = { id, terms, unique }
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
  tell('enqueued', queue_name, id, task, 0, due, nil, nil, payload, terms)
  return true
end

-- Put one job, or do with it what is to be done where its id or its key is taken.
local function put_at(at)
  local id, payload, due, delay, life, task, terms, unique_term, on_taken = unpack(ARGV, at, at + 8)
  due, delay = tonumber(due), tonumber(delay)
  local unique, period
  if unique_term ~= '' then
    unique, period = string.match(unique_term, '^(%S+) (%d+)$')
    period = tonumber(period)
  end
  local is_moved = on_taken == 'debounce' or due >= 0 or delay > 0
  if due < 0 then due = now + delay end

  local holder = unique and holder_of(queue, unique, period)
  local is_free = not holder and (may_reuse or redis.call('EXISTS', 'arq:result:' .. id) == 0)
  if is_free and put_new(id, payload, due, tonumber(life), task, terms, unique, period) then
    answers[#answers + 1] = 1
  else
    holder = holder or id
    -- A sealed payload is bound to its id: its client seals it again, for the id of the holder.
    local fits = holder == id or not is_sealed(payload)
    local new_due = (on_taken == 'replace' or on_taken == 'debounce') and fits
      and with_limits().replace(queue, holder, payload, due, is_moved, terms, unique, period)
    if new_due then
      tell('enqueued', queue_name, holder, task, 0, new_due, { reason = 'replaced' }, nil, payload, terms)
    end
    answers[#answers + 1] = { new_due and 2 or 0, holder }
  end
end

-- Put what is left to be done together. `put_rest` is the last that may fail.
local function finish(put_rest)
  chunked('ZADD', queue, scores)
  -- A stock client may have asked to abort the last job of an id when that was over.
  chunked('ZREM', 'arq:abort', put_ids)
  delete(results)
  if put_rest then put_rest() end
end

-- Remove a job that was put in part: its payload would keep the id for ever, for a job that never runs.
local function undo(id, terms, unique)
  if terms == '' then redis.pcall('ZREM', queue, id) else with_limits().take_off(queue, id, terms) end
  for _, key in ipairs({ 'arq:job:' .. id, unique }) do remove(key) end
end

local function wake_all()
  if #results > 0 and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
  if limits then limits.wake_others(queue) end
end

-- Put the jobs whose 9 values begin at `first` and end at `last` of the arguments, all or none.
local function put_all(first, last, put_one, put_rest)
  local is_done, problem = pcall(function()
    check_right('ZREM', queue) -- which takes a job off again
    for at = first, last, 9 do put_one(at) end
    finish(put_rest)
  end)
  if not is_done then
    for _, job in ipairs(begun) do undo(unpack(job)) end
    raise(problem)
  end
  -- Nothing else depends on these: without a token an idle worker finds the jobs by itself, a little later.
  write_events()
  pcall(wake_all)
end
