---------------------------------------------------------------------------------------------------- over
-- Jobs that are over leave Redis but for their record and their dead letter. Expects what step.lua says of its call.

--@include chunks
--@include kept
--@include letters
--@include limits

-- Keep a dead job as a dead letter, and strike letters that have expired off the list.
local function bury(job)
  local id, letter = job.id, dead .. ':' .. job.id
  local payload = redis.call('MGET', JOB .. id)[1] -- MGET: a key of another type reads as absent
  -- A step that failed on the way has written this letter, and may have deleted the payload since.
  if payload or not resend then redis.call('DEL', letter) end
  redis.call('HSET', letter, 'reason', job.reason or '', 'task', job.task, 'attempt', job.attempt, 'error', job.detail,
    'at', now_ms)
  local cause = string.match(string.sub(job.detail, 1, 500), '"cause":"(%x+)"')
  if cause then redis.call('HSET', letter, 'cause', cause) end
  if payload then redis.call('HSET', letter, 'payload', payload) end
  if code_version ~= '' then redis.call('HSET', letter, 'version', code_version) end
  local terms = has.terms and terms_of(queue, id)
  if terms then redis.call('HSET', letter, 'terms', terms) end
  local saved = job.checkpoint or service and has.checkpoint and redis.call('HGET', checkpoint, id)
  if saved then redis.call('HSET', letter, 'checkpoint', saved) end
  local failures = service and has.attempts and redis.pcall('HGET', attempts, id)
  if type(failures) == 'string' then redis.call('HSET', letter, 'attempts', failures) end
  redis.call('PEXPIRE', letter, ms(retention))
  redis.call('ZADD', dead, now_ms, id)
  local expired = ms(now - retention)
  if cause then note_letter(queue, cause, id, now_ms, expired, ms(retention)) end
  strike_expired(dead, expired)
end

local function keep_record(job)
  if job.record == '' then return end
  if job.record_ms ~= '0' then
    redis.call('SET', RESULT .. job.id, job.record, 'PX', job.record_ms)
  else
    redis.call('SET', RESULT .. job.id, job.record)
  end
end

-- Give back what a job held by its limits, and tell its flow of its end. The terms, which say what is to be done, go
-- last.
local function let_go(job)
  local terms = terms_of(queue, job.id)
  if terms then
    job.terms = terms
    give_back(queue, job.id, terms)
    tell_end(terms, job.event, job.detail, job.id)
    redis.call('HDEL', queue .. ':terms', job.id)
  end
end

-- Remove what a queue knows of jobs that are over, and last of all the fence. Before that their ends are told: a step
-- that fails on the way is sent again, and tells them rather twice than never.
local function forget_jobs(finished, gone)
  chunked('ZREM', queue, gone)
  local keys = {}
  for _, job in ipairs(finished) do
    local last = #keys
    keys[last + 1], keys[last + 2], keys[last + 3] = HELD .. job.id, RETRY .. job.id, JOB .. job.id
  end
  delete(keys)
  for _, job in ipairs(finished) do
    if job.mirror_ms then redis.call('SET', HELD .. job.id, '1', 'PX', job.mirror_ms) end
  end
  forget_checkpoints(gone)
  if service and has.snoozes then chunked('HDEL', snoozes, gone) end
  if has.terms then
    for _, job in ipairs(finished) do let_go(job) end
  end
  forget_failures(gone)
  for _, job in ipairs(finished) do
    local why = job.event ~= 'completed' and { reason = job.reason } or nil
    tell(job.event, queue_name, job.id, job.task, job.attempt, nil, why, job.detail, nil, job.terms, job.log_key)
  end
  write_events()
  chunked('ZREM', active, gone)
  chunked('HDEL', runs, gone)
end

-- Take jobs that are over out of Redis. What is there to tell is written before what it is read from is removed: if a
-- command fails on the way, the same step does it all once more.
local function conclude(finished)
  if #finished == 0 then return end
  local gone = {}
  for i, job in ipairs(finished) do gone[i] = job.id end
  -- First what can be missed, and what a full Redis allows: even if there is nothing to remove, that lets the rest pass.
  chunked('ZREM', ABORT, gone)
  if service and has.progress then chunked('HDEL', progress, gone) end
  for _, job in ipairs(finished) do
    if job.kind == 'dead' then bury(job) end
    keep_record(job)
  end
  forget_jobs(finished, gone)
end
