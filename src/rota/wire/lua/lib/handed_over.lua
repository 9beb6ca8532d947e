---------------------------------------------------------------------------------------------------- handed over
-- The claims of a step whose reply was lost are handed over again. Expects what step.lua says of its call; claim.lua puts
-- this together when it is needed.

-- Return a claim that was made already, as `claim` returned it, with a whole lease.
local function handed_over(id, entry)
  local payload, count = unpack(redis.call('MGET', JOB .. id, RETRY .. id))
  local attempt = math.max(1, figure(count or nil) + (service and 1 or 0)) -- without the service the claim has counted it
  redis.call('ZADD', active, deadline_ms, id)
  redis.call('ZADD', queue, 'XX', deadline_ms, id)
  redis.call('SET', HELD .. id, string.match(entry, '^%S+'), 'PX', lease_px)
  local aborted = redis.call('ZSCORE', ABORT, id) and 1 or 0
  local saved = service and has.checkpoint and redis.call('HGET', checkpoint, id)
  local put_off = service and has.snoozes and redis.call('HGET', snoozes, id)
  return { id, entry, payload, attempt, aborted, terms_of(queue, id) or '', saved or false, put_off or false }
end

-- Return the claims that this step made when it was sent first, where its reply was lost: their tokens have its number.
local function find_claimed()
  local claims = {}
  local ids = redis.call('ZRANGE', active, 0, -1)
  for from = 1, #ids, 500 do
    local page = { unpack(ids, from, math.min(from + 499, #ids)) }
    local entries = redis.call('HMGET', runs, unpack(page))
    for i, id in ipairs(page) do
      local entry = entries[i]
      local is_ours = entry and string.sub(entry, 1, #token_prefix) == token_prefix
      if is_ours then claims[#claims + 1] = handed_over(id, entry) end
    end
  end
  return claims
end
