---------------------------------------------------------------------------------------------------- claim
-- Hands jobs to the worker, each under a token of its own, and hands the same ones over again where the reply was lost.
-- Expects what step.lua says of its call.

--@include find
--@include lives

local by_this_worker = { worker = worker }

-- A claim of the service counts no attempt: that is counted when it ends, so most jobs, whose first is the last, need no
-- counter, which saves 3 % of a step. A claim with arq's contract counts at once, as arq does: a stock worker that takes the
-- job over from a worker that died must find its try spent. The tokens of such claims say so.
local counted_mark = service and '' or '+'

local function tell_start(job, task, attempt, payload)
  tell('started', queue_name, job.id, task, attempt, job.due, by_this_worker, nil, payload, job.terms)
end

-- Write the event of a start. The job's name is in the fixed head of our own payloads; in a stock client's it may be
-- anywhere near the beginning.
local function tell_started(job, payload, attempt)
  local task = payload and string.match(payload, '^{"v":1,"f":"([^"]*)"')
  if task or not payload then return tell_start(job, task or '', attempt) end
  task = string.match(string.sub(payload, 1, 200), '"f":"([^"]*)"') or ''
  -- A stock client's payload expires, and must not once we have seen the job.
  redis.call('PERSIST', JOB .. job.id)
  tell_start(job, task, attempt, payload)
end

-- Return what a job saved in earlier attempts. A stock worker that finishes a job leaves its checkpoint behind, which
-- the next job of that id must not get: that one has no counter of attempts yet.
local function saved_by(id, count, saved)
  if not saved or count then return saved end
  redis.call('HDEL', checkpoint, id)
  return false
end

-- Write that these jobs are claimed. The number of the step goes before the fence, and what can be made up for goes
-- after it: a step that fails on the way has claimed nothing, or the same number hands the claims over.
local function hold(found, deadlines, fence, counts)
  set_last_step()
  redis.call('ZADD', active, unpack(deadlines))
  redis.call('HSET', runs, unpack(fence))
  if not service then
    local counted = {}
    for i, job in ipairs(found) do
      counted[2 * i - 1], counted[2 * i] = RETRY .. job.id, figure(counts[i] or nil) + 1
    end
    redis.call('MSET', unpack(counted))
  end
  if has.suspects then
    for _, job in ipairs(found) do clear(job.id) end
  end
  redis.call('ZADD', queue, unpack(deadlines))
  write_all(HELD, found, 'token', lease_px)
  for _, job in ipairs(found) do
    if job.terms then with_terms().release_unique(job.id, job.terms, 's') end
  end
end

-- Return how many attempts of a job were spent, of one that has a counter or needs one.
local function spent_before(job, count)
  if service and job.unheard then return count_attempts(job.id, 1) end
  -- A stock worker's counter expires, and must not once we have seen the job.
  if service then redis.call('PERSIST', RETRY .. job.id) end
  return figure(count or nil)
end

-- Claim these jobs: `token due started lost unknown-since` becomes the run entry of each.
local function claim(found)
  local ids, deadlines, fence = {}, {}, {}
  for i, job in ipairs(found) do
    ids[i] = job.id
    job.token = token_prefix .. i .. counted_mark .. job.mark
    job.entry = job.token .. ' ' .. job.due .. ' ' .. now_ms .. job.rest
    deadlines[2 * i - 1], deadlines[2 * i] = deadline_ms, job.id
    fence[2 * i - 1], fence[2 * i] = job.id, job.entry
  end
  local payloads = redis.call('MGET', unpack(prefixed(JOB, ids)))
  local counts = redis.call('MGET', unpack(prefixed(RETRY, ids)))
  local aborts = has.abort and redis.call('ZMSCORE', ABORT, unpack(ids)) or {}
  local saved = service and has.checkpoint and redis.call('HMGET', checkpoint, unpack(ids)) or {}
  local put_off = service and has.snoozes and redis.call('HMGET', snoozes, unpack(ids)) or {}
  hold(found, deadlines, fence, counts)
  local claims = {}
  for i, job in ipairs(found) do
    local count = (counts[i] or job.unheard) and spent_before(job, counts[i])
    local attempt = (count or 0) + 1
    if service then tell_started(job, payloads[i], attempt) end
    local kept = saved_by(job.id, count, saved[i]) or false
    if aborts[i] or job.terms or kept or put_off[i] or job.strange then
      claims[i] = { job.id, job.entry, payloads[i], attempt, aborts[i] and 1 or 0, job.terms or '', kept,
        put_off[i] or false, job.strange }
    else
      claims[i] = { job.id, job.entry, payloads[i], attempt }
    end
  end
  return claims
end

-- Return the claims that this step made when it was sent first.
local function claimed_before()
  return (function()
--@include handed_over
    return find_claimed()
  end)()
end
