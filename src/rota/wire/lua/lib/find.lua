---------------------------------------------------------------------------------------------------- find
-- Which due jobs a step claims: those that nobody holds, whose turn it is, and whose limits let them start. Wants now,
-- entries, terms, and what step.lua says of its call.
--
-- A job is looked at as { id, due, entry (false = none), held (arq's key), score (in the queue, where it was found in
-- an index), terms (false = none), rest (of its entry: ` lost unknown-since`), mark ('!' = it comes straight from a
-- loss) }.

local MOST_LOOKED_AT = 1000
local expired = false -- more leases have ended than one step takes back
local suspect_waits = false

local function prefixed(key, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = key .. id end
  return keys
end

local function jobs_at(source, offset, size)
  local due_jobs = redis.call('ZRANGEBYSCORE', source, '-inf', now_ms, 'WITHSCORES', 'LIMIT', offset, size)
  if #due_jobs == 0 then return {} end
  local ids, jobs = {}, {}
  for i = 1, #due_jobs, 2 do ids[#ids + 1] = due_jobs[i] end
  local entries = redis.call('HMGET', runs, unpack(ids))
  local held = redis.call('MGET', unpack(prefixed(HELD, ids)))
  local scores = source ~= queue and redis.call('ZMSCORE', queue, unpack(ids)) or {}
  local terms = has.terms and redis.call('HMGET', queue .. ':terms', unpack(ids)) or {}
  for i, id in ipairs(ids) do
    local entry = entries[i]
    jobs[i] = { id = id, due = due_jobs[2 * i], entry = entry, held = held[i], score = scores[i], terms = terms[i],
      rest = entry and string.match(entry, '( %S+ %S+)$') or ' 0 0',
      mark = entry and string.sub(entry, 1, 2) == '-!' and '!' or '' }
  end
  return jobs
end

-- 'moved' if it stands no longer where it was found, 'held' if it is somebody's, else 'free'.
local function state_of(job, source)
  local id = job.id
  if source ~= queue and not job.score then
    redis.call('ZREM', source, id) -- an index may hold what has left the queue
    return 'moved'
  elseif source ~= queue and tonumber(job.score) > now then
    redis.call('ZADD', source, job.score, id) -- or stands elsewhere in it
    return 'moved'
  end
  local deadline = job.entry and not is_memory(job.entry) and redis.call('ZSCORE', active, id)
  if deadline and tonumber(deadline) > now then
    redis.call('ZADD', queue, deadline, id) -- somebody re-scored a claimed job (stock Job.abort does)
    return 'moved'
  end
  if deadline then expired = true end
  return (deadline or job.held) and 'held' or 'free'
end

-- A job that was lost often may be what kills its workers. It runs alone, so that its neighbours are not lost with it
-- each time. True if it is not to be claimed by this step.
local function set_apart(job)
  local suspected = suspect ~= '0' and string.match(job.rest, '^ (%S+)') == suspect
  if suspected and not alone then suspect_waits = true end
  return suspected ~= alone
end

-- A worker that does not know a job must not win it again and again beside one that does.
local function others_turn(job)
  if not job.entry or not is_memory(job.entry) then return false end
  local stranger, _, again_at = parse(job.entry)
  return stranger == '-' .. worker and now < again_at
end

-- Whether its limits, if it has any, let it start now; one that may not stands elsewhere from now on.
local function admit(job)
  local id, terms = job.id, job.terms
  if not terms then return true end
  if string.find(terms, '[rc]=') then
    local due = place_of(queue, id, terms) or tonumber(job.due)
    job.due = ms(due)
    -- One that is to be cancelled needs no turn, and takes none.
    if redis.call('ZSCORE', ABORT, id) then
      leave(queue, id, terms)
      return true
    end
    if not may_start(queue, id, due, terms) then return false end
  end
  start(queue, id, terms)
  return true
end

-- Due jobs that may be claimed, in the order of `source`, added to `found` until these are `most`; and whether one more
-- is due behind them.
local function find(source, found, most)
  local offset, looked_at = 0, 0
  while looked_at < MOST_LOOKED_AT do
    local size = looked_at > 0 and 100 or most - #found + 1
    local jobs = jobs_at(source, offset, size)
    for _, job in ipairs(jobs) do
      local state = state_of(job, source)
      if state == 'free' and not found[job.id] and not set_apart(job) and not others_turn(job) then
        if #found == most then return true end
        if admit(job) then
          found[#found + 1] = job
          found[job.id] = true
        else
          state = 'moved'
        end
      end
      if state == 'moved' then offset = offset - 1 end
    end
    if #jobs < size then return false end
    looked_at, offset = looked_at + #jobs, offset + #jobs
  end
  return false
end

-- Of what may be claimed, every fifth goes to the oldest whatever its priority, so that none waits for ever.
local function find_by_priority(found, most, levels)
  local turn, old, names = 0, 0, {}
  for i = 1, #levels, 2 do
    if levels[i] == 'turn' then turn = tonumber(levels[i + 1]) else names[#names + 1] = levels[i] end
  end
  for i = 1, most do
    if (turn + i) % 5 == 0 then old = old + 1 end
  end
  redis.call('HSET', queue .. ':levels', 'turn', (turn + most) % 5)
  table.sort(names, function(one, other) return one > other end)
  if old > 0 then find(queue, found, old) end
  for _, name in ipairs(names) do
    if #found < most then find(queue .. ':p' .. name, found, most) end
    drop_level(queue, name)
  end
end

-- The jobs to claim, at most `most`; and whether more are due behind them.
local function choose(most)
  local found, left = {}, false
  -- A priority is one of the terms.
  local levels = has.terms and redis.call('HGETALL', queue .. ':levels') or {}
  if #levels > 0 then find_by_priority(found, most, levels) end
  -- Who was sent back to wait may have made room for others, which are due since long.
  for _ = 1, 3 do
    woken[queue] = nil
    left = find(queue, found, most)
    if not woken[queue] or #found == most then break end
  end
  return found, left or expired or woken[queue] == true
end
