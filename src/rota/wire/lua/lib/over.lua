---------------------------------------------------------------------------------------------------- over
-- Jobs that are over leave Redis but for their record and their dead letter. Expects what step.lua says of its call.

--@include chunks
--@include kept
--@include lives

local bury_one
local function burier()
  bury_one = bury_one or (function()
--@include bury
    return bury
  end)()
  return bury_one
end

local function keep_record(job)
  if job.record == '' then return end
  if job.record_ms ~= '0' then
    redis.call('SET', RESULT .. job.id, job.record, 'PX', job.record_ms)
  else
    redis.call('SET', RESULT .. job.id, job.record)
  end
end

-- Keep the records of jobs that are over: those of a step mostly have one life.
local function keep_records(finished)
  local life, is_one = finished[1].record_ms, true
  for _, job in ipairs(finished) do is_one = is_one and job.record ~= '' and job.record_ms == life end
  if is_one and life ~= '0' then return write_all(RESULT, finished, 'record', life) end
  for _, job in ipairs(finished) do keep_record(job) end
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
    for _, job in ipairs(finished) do with_terms().let_go(job) end
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
    if job.kind == 'dead' then burier()(job) end
  end
  keep_records(finished)
  forget_jobs(finished, gone)
end
