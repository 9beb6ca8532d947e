---------------------------------------------------------------------------------------------------- kept
-- What is kept of a job's attempts until the job is over: what they saved, how they failed, and counts. Expects what
-- step.lua says of its call.

--@include chunks
--@include entries

-- Count attempts of a job on top of those that were counted before, and return how many that makes. None more make a
-- counter, too: what an attempt has saved is the job's only beside one.
local function count_attempts(id, more)
  local before = redis.call('MGET', RETRY .. id)[1] -- MGET: a key of another type reads as absent
  local counted = figure(before or nil) + more
  redis.call('SET', RETRY .. id, counted)
  return counted
end

local function forget_checkpoints(ids)
  if service and has.checkpoint then chunked('HDEL', checkpoint, ids) end
end

-- Nothing else depends on the errors of attempts: where their key is of another type, the jobs go on all the same.
local function forget_failures(ids)
  if service and has.attempts then pcall(chunked, 'HDEL', attempts, ids) end
end

-- Add to a counter that nothing else depends on, and begin at that where it holds no number.
local function count_up(key, field, amount)
  local answer = redis.pcall('HINCRBY', key, field, amount)
  if type(answer) == 'table' and string.find(tostring(answer.err), 'integer', 1, true) then
    redis.pcall('HSET', key, field, amount)
  end
end
