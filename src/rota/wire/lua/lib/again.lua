---------------------------------------------------------------------------------------------------- again
-- Jobs that go again are put back into the line. Expects what step.lua says of its call; settle.lua puts this together
-- when it is needed.

--@include entries
--@include herds
--@include kept

-- A job that no worker knows is left alone for this part of the time for which that has been so, up to a limit, ms.
local SHARE_ALONE, LONGEST_ALONE = 0.1, 60000
-- The most that is kept of the errors of one job's attempts, bytes.
local MOST_OF_FAILURES = 8000

-- Return for how long a job that nobody knows is left alone, ms: `least`, and longer the longer it has been unknown. A
-- job that all workers look at over and over takes the time of others.
local function left_alone(least, unknown_since)
  local unknown_for = unknown_since > 0 and now - unknown_since or 0
  return math.max(least, math.min(LONGEST_ALONE, math.floor(unknown_for * SHARE_ALONE)))
end

-- Return when a job is due again.
local function due_again(job, old_due, unknown_since)
  local delay = job.delay_ms and tonumber(job.delay_ms)
  if delay and job.unknown then delay = left_alone(delay, unknown_since) end
  local due = delay and now + delay or math.min(old_due, now)
  if due > now and (job.event == 'retried' or job.unknown) then due = spread(due) end
  -- A cancel was asked for and came too late for this attempt: the next claim ends the job, and nothing waits for that.
  if service and due > now and redis.call('ZSCORE', ABORT, job.id) then due = now end
  if due - now < TURN then handed_back = true end
  return due
end

-- Leave in the run entry what the next claim must know: how often the job was lost, and since when, and by which
-- worker, it was not known.
local function remember(job, due, lost, unknown_since)
  local since = 0
  if job.unknown then since = unknown_since > 0 and unknown_since or now end
  if lost > 0 or since > 0 then
    local stranger = job.unknown and '-' .. worker or '-'
    redis.call('HSET', runs, job.id, format(stranger, due, job.unknown and due + TURN or 0, lost, since))
  else
    redis.call('HDEL', runs, job.id)
  end
end

-- Keep the error of an attempt beside those before it, `attempt ms error` in a line each. The oldest go first, where
-- they take up too much. An attempt that is numbered 1 is the first of a new job of this id.
local function keep_failure(job)
  local line = job.attempt .. ' ' .. now_ms .. ' ' .. job.failure
  local before = job.attempt ~= 1 and has.attempts and redis.pcall('HGET', attempts, job.id)
  if type(before) ~= 'string' then before = false end
  -- A step that failed on the way has kept it.
  if before and tonumber((string.match('\n' .. before, '\n(%S+)[^\n]*$'))) == job.attempt then return end
  while before and #before + #line > MOST_OF_FAILURES do before = string.match(before, '\n(.*)$') end
  redis.pcall('HSET', attempts, job.id, before and before .. '\n' .. line or line)
  has.attempts = true
end

local function put_back(job, due, lost, unknown_since, terms)
  if terms then with_terms().index_priority(queue, job.id, due, terms) end
  if job.checkpoint then
    redis.call('HSET', checkpoint, job.id, job.checkpoint)
    has.checkpoint = true
  end
  if not job.unspent then
    redis.call('SET', RETRY .. job.id, job.attempt) -- a stock client may have asked to start at a later try
  elseif service then
    count_attempts(job.id, 0)
  end
  if service and job.failure then keep_failure(job) end
  redis.call('ZREM', active, job.id)
  remember(job, due, lost, unknown_since)
  -- These may count once at most, so they come after the fence: what fails here is not done again, and stops nothing else.
  if job.unspent and not service then redis.pcall('DECR', RETRY .. job.id) end
  if job.event == 'snoozed' then
    count_up(snoozes, job.id, 1)
    has.snoozes = true
  end
end

-- Forget a job that left the queue while it ran: a stock worker finished it, or it was removed by hand.
local function forget_job(id, terms)
  if terms then with_terms().forget_terms(queue, id, terms) end
  forget_checkpoints({ id })
  redis.call('DEL', RETRY .. id)
  redis.call('ZREM', ABORT, id)
  if has.snoozes then redis.call('HDEL', snoozes, id) end
  forget_failures({ id })
  redis.call('ZREM', active, id)
  redis.call('HDEL', runs, id)
end

-- Put a job back into the line. The fence goes last, as with a job that is over.
local function release(job)
  local id = job.id
  local _, old_due, _, lost, unknown_since = parse(job.entry)
  redis.call('DEL', HELD .. id)
  if job.terms then
    redis.call('HSET', queue .. ':terms', id, job.terms)
    has.terms = true
  end
  local due = due_again(job, old_due, unknown_since)
  local still_there = redis.call('ZADD', queue, 'XX', 'CH', ms(due), id) == 1 or redis.call('ZSCORE', queue, id)
  if service then redis.call('HDEL', progress, id) end
  local terms = has.terms and terms_of(queue, id)
  if terms then with_terms().free_slot(queue, id, terms) end
  if still_there then put_back(job, due, lost, unknown_since, terms) else forget_job(id, terms) end
  tell(job.event, queue_name, id, job.task, job.attempt, due, nil, job.detail, nil, terms, job.log_key)
end
