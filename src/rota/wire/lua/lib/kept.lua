---------------------------------------------------------------------------------------------------- kept
-- What is kept of a job's attempts until the job is over: what they saved, how they failed, and counts. Expects what
-- step.lua says of its call.

--@include chunks

-- The most that is kept of the errors of one job's attempts, bytes.
local MOST_OF_FAILURES = 8000

local function forget_checkpoints(ids)
  if service and has.checkpoint then chunked('HDEL', checkpoint, ids) end
end

-- Nothing else depends on the errors of attempts: where their key is of another type, the jobs go on all the same.
local function forget_failures(ids)
  if service and has.attempts then pcall(chunked, 'HDEL', attempts, ids) end
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

-- Add to a counter that nothing else depends on, and begin at that where it holds no number.
local function count_up(key, field, amount)
  local answer = redis.pcall('HINCRBY', key, field, amount)
  if type(answer) == 'table' and string.find(tostring(answer.err), 'integer', 1, true) then
    redis.pcall('HSET', key, field, amount)
  end
end
