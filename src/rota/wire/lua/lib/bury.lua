---------------------------------------------------------------------------------------------------- bury
-- Jobs that died are kept as dead letters. Expects what step.lua says of its call; over.lua puts this together when it is
-- needed.

--@include letters

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
