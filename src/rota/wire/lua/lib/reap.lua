---------------------------------------------------------------------------------------------------- reap
-- Claims whose lease has ended go back into the line, unless it was the server that stood still. Expects what step.lua
-- says of its call.

--@include entries
--@include limits
--@include settle

-- Give every claim that looks expired one more lease, in which its worker renews: when the server has stood still, all
-- of them look expired at once.
local function forgive()
  while true do
    local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. now_ms, 'LIMIT', 0, 500)
    if #ids == 0 then return end
    local entries, scores = redis.call('HMGET', runs, unpack(ids)), {}
    for i, id in ipairs(ids) do
      scores[#scores + 1] = deadline_ms
      scores[#scores + 1] = id
      if entries[i] then redis.call('SET', HELD .. id, (parse(entries[i])), 'PX', ms(lease), 'NX') end
    end
    redis.call('ZADD', active, unpack(scores))
    redis.call('ZADD', queue, 'XX', unpack(scores))
  end
end

-- Remember when a script ran, and notice when none has for too long: then the server may have stood still.
local function check_clock()
  local last_seen = tonumber(set_first(seen, now_ms, 'PX', ms(lease * 4), 'GET') or nil)
  if last_seen and now - last_seen <= lease / 2 then return end
  local is_done, problem = pcall(forgive)
  if is_done then return end
  -- The next step has to know of the silence too: to it all the claims would look lost.
  redis.call('SET', seen, 0, 'PX', ms(lease * 4))
  raise(problem)
end

-- Tell whether there is nothing to take back: a stock worker has taken the job over, or has finished it.
local function is_gone(id, token)
  if not token or is_memory(token) then return true end
  local holder = redis.call('MGET', HELD .. id)[1] -- MGET: a key of another type reads as absent
  local taken = holder and holder ~= token
  return taken or not redis.call('ZSCORE', queue, id)
end

local function forget_claim(id, token, terms)
  if token and is_memory(token) then return end -- a step that failed has taken it back
  redis.call('HDEL', runs, id)
  if not redis.call('ZSCORE', queue, id) then
    if terms then forget_terms(queue, id, terms) end
    forget_checkpoints({ id })
  end
  if service and has.snoozes then redis.call('HDEL', snoozes, id) end
  forget_failures({ id })
end

-- Return the mark of a lost job: the worker that had it, and the time since which it waits again.
local function mark_of(token)
  local holder = string.match(token, '^([^!]*):%d+:%d+:%d+') or ''
  return '-!' .. holder .. '@' .. now_ms
end

-- Put a job that was lost back to its old place, its attempt unspent.
local function take_back(id, token, due, lost, unknown, terms)
  redis.call('DEL', HELD .. id)
  redis.call('ZADD', queue, ms(due), id)
  index_priority(queue, id, due, terms)
  redis.call('HSET', runs, id, format(mark_of(token), due, 0, lost + 1, unknown))
  if service then redis.pcall('DECR', RETRY .. id) end
  emit('type', 'lost', 'queue', queue_name, 'id', id, 'task', '', 'attempt', '0', 'detail', token)
end

-- Take back claims whose lease has ended, at most 100 in a step. They leave `active` last: if a command fails on the
-- way, the next step takes back the rest.
local function reap()
  local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. now_ms, 'LIMIT', 0, 100)
  if #ids == 0 then return end
  local entries = redis.call('HMGET', runs, unpack(ids))
  for i, id in ipairs(ids) do
    local token, due, _, lost, unknown
    if entries[i] then token, due, _, lost, unknown = parse(entries[i]) end
    local terms = has.terms and terms_of(queue, id)
    if terms then free_slot(queue, id, terms) end
    if is_gone(id, token) then forget_claim(id, token, terms) else take_back(id, token, due, lost, unknown, terms) end
  end
  redis.call('ZREM', active, unpack(ids))
end
