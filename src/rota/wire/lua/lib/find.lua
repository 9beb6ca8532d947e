---------------------------------------------------------------------------------------------------- find
-- Which due jobs a step claims: those that no worker holds, that are for this worker, and whose limits let them start.
-- Expects what step.lua says of its call.
--
-- A due job is { id, due, entry (false = none), held (arq's in-progress key), score (its time in the queue, read where
-- the job was found in an index), terms (false = none), rest (of its entry: ` lost unknown-since`), mark (what the
-- tokens of a job that was just lost end with), unheard (its last claim was neither settled nor taken back), strange (what
-- of it cannot be read) }.

--@include entries
--@include strangers

-- The search goes past jobs that this step may not claim, a stock worker's say, but no further than this.
local MOST_LOOKED_AT = 1000
local expired = false -- more leases have ended than one step takes back
local suspect_waits = false -- a suspect is due, which this worker may not claim beside other jobs
local suspects = queue .. ':suspects'

local function prefixed(key, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = key .. id end
  return keys
end

local function read_entry(job, entry)
  local rest = string.match(entry, '( %d+ %d+)$')
  if rest then job.rest, job.unheard = rest, not is_memory(entry) else job.strange = 'run entry' end
  -- A token is text, whatever another hand has written here.
  job.mark = string.gsub(string.match(entry, '^%-(!%S*)') or '', '[^!-~]', '?')
end

-- Return due jobs of `source`, which is the queue or the index of a priority.
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
      rest = ' 0 0', mark = '' }
    if entry then read_entry(jobs[i], entry) end -- most jobs that wait have none
  end
  return jobs
end

-- Tell whether a job may be what kills its workers, because it was lost often: it runs alone, so that its neighbours
-- are not lost with it each time.
local function is_suspect(job)
  return job.entry and suspect ~= '0' and string.match(job.rest, '^ (%S+)') == suspect or false
end

-- Take a suspect out of the way of the jobs behind it, by parking it; it is found in `suspects`, in its old place.
local function set_apart(job)
  local known = with_terms()
  redis.call('ZADD', suspects, 'NX', job.due, job.id)
  known.park(queue, job.id, now + known.BACKSTOP, job.terms or nil)
  suspect_waits, has.suspects = true, true
end

-- Strike a job off `suspects` that is none, or none any more.
local function clear(id)
  redis.call('ZREM', suspects, id)
  redis.call('ZREM', queue .. ':parked', id)
end

-- Return the state of a job that is found in `suspects`.
local function state_of_suspect(job)
  if job.score and job.entry and is_memory(job.entry) and is_suspect(job) then return job.held and 'held' or 'free' end
  clear(job.id)
  return 'moved'
end

-- Return 'moved' if the job has, or gets, another place than it was found at, 'held' if a worker has it, else 'free'.
local function state_of(job, source)
  local id = job.id
  if source == suspects then return state_of_suspect(job) end
  if source ~= queue and not job.score then
    redis.call('ZREM', source, id) -- an index may still name a job that has left the queue
    return 'moved'
  elseif source ~= queue and tonumber(job.score) > now then
    redis.call('ZADD', source, job.score, id) -- or one that is due later by now
    return 'moved'
  end
  local deadline = job.entry and not is_memory(job.entry) and redis.call('ZSCORE', active, id)
  if deadline and tonumber(deadline) > now then
    redis.call('ZADD', queue, deadline, id) -- a claimed job was re-scored: stock Job.abort() does that
    return 'moved'
  end
  if deadline then expired = true end
  return (deadline or job.held) and 'held' or 'free'
end

-- Add due jobs of `source` that may be claimed to `found`, in order, until it holds `most`. Return whether one more is
-- due behind them.
local function find(source, found, most)
  local offset, looked_at = 0, 0
  -- Nothing is in the way of most jobs, and nothing of what follows need be asked of them.
  local takes_plain = source == queue and not alone and strangers == ''
  while looked_at < MOST_LOOKED_AT and strange.put_off < MOST_PUT_OFF do
    local size = looked_at > 0 and 100 or most - #found + 1
    local jobs = jobs_at(source, offset, size)
    for _, job in ipairs(jobs) do
      local is_plain = takes_plain and not (job.entry or job.held or job.terms or found[job.id])
      local state = is_plain and 'plain' or state_of(job, source)
      if is_plain then
        if #found == most then return true end
        found[#found + 1] = job
        found[job.id] = true
      elseif state == 'free' and not alone and is_suspect(job) then
        set_apart(job)
        state = 'moved'
      elseif state == 'free' and not found[job.id] and is_stranger(job) then
        put_off(job)
        state = 'moved'
      elseif state == 'free' and not found[job.id] and is_suspect(job) == alone and not others_turn(job) then
        if #found == most then return true end
        if not job.terms or with_terms().admit(job) then
          found[#found + 1] = job
          found[job.id] = true
        else
          if source == suspects then redis.call('ZREM', suspects, job.id) end
          state = 'moved'
        end
      end
      if state == 'moved' then offset = offset - 1 end
    end
    if #jobs < size then return false end
    looked_at, offset = looked_at + #jobs, offset + #jobs
  end
  return suspect_waits or strange.put_off > 0 -- those that were moved are out of the way of the next step
end

-- Find the jobs of the highest priorities first, but in every fifth place the one that is due the longest, so that none
-- waits for ever.
local function find_by_priority(found, most, levels)
  local turn, oldest, in_use = 0, 0, {}
  for i = 1, #levels, 2 do
    if levels[i] == 'turn' then turn = tonumber(levels[i + 1]) or 0 else in_use[#in_use + 1] = levels[i] end
  end
  for i = 1, most do
    if (turn + i) % 5 == 0 then oldest = oldest + 1 end
  end
  redis.call('HSET', queue .. ':levels', 'turn', (turn + most) % 5)
  table.sort(in_use, function(one, other) return one > other end)
  if oldest > 0 then find(queue, found, oldest) end
  for _, level in ipairs(in_use) do
    if #found < most then find(queue .. ':p' .. level, found, most) end
    with_terms().drop_level(queue, level)
  end
end

-- Return the jobs to claim, at most `most`; and whether more are due behind them.
local function choose(most)
  local found, left = {}, false
  if alone then
    if has.suspects then find(suspects, found, most) end
    if #found < most then find(queue, found, most) end
    return found, expired
  end
  -- A queue without terms has no priorities: those are terms.
  local levels = has.terms and redis.call('HGETALL', queue .. ':levels') or {}
  if #levels > 0 then find_by_priority(found, most, levels) end
  -- A job that was parked just now may have freed a limit for others, which were due before it.
  for _ = 1, 3 do
    woken[queue] = nil
    left = find(queue, found, most)
    if not woken[queue] or #found == most then break end
  end
  return found, left or expired or woken[queue] == true
end
