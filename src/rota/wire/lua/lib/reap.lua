---------------------------------------------------------------------------------------------------- reap
-- Claims whose lease has ended go back into the line, unless it was the server that stood still. Where its clock was
-- set back, what was due is due still. Expects what step.lua says of its call.

--@include entries
--@include limits
--@include kept

-- A clock that is set back by less is not worth a look at every job, ms.
local SET_BACK = 1000

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

-- The server's clock was set back since `last_seen`: without this, whatever was due then would stand still until that
-- time comes again, and new jobs would pass it. What was to be due later keeps its time of day.
local function go_back(last_seen)
--@include set_back
  return lay_back(last_seen)
end

-- End a step whose look at the clock failed or is not over: the next one has to know when scripts ran last, too.
local function insist(last_seen, is_done, problem)
  if is_done and problem ~= 'more' then return end
  redis.call('SET', seen, ms(last_seen), 'PX', ms(lease * 4))
  if not is_done then raise(problem) end
end

-- Remember when a script ran, and notice when none has for too long: then the server may have stood still. Return
-- whether its clock was set back.
local function check_clock()
  local last_seen = tonumber(set_first(seen, now_ms, 'PX', ms(lease * 4), 'GET') or nil)
  if last_seen and last_seen > now + SET_BACK then
    insist(last_seen, pcall(go_back, last_seen))
    return true
  end
  if last_seen and now - last_seen <= lease / 2 then return end
  insist(0, pcall(forgive))
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

-- Take back claims whose lease has ended, at most 100 in a step. They leave `active` last: if a command fails on the
-- way, the next step takes back the rest.
local function reap()
  local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. now_ms, 'LIMIT', 0, 100)
  if #ids == 0 then return end
--@include losses
  local entries, last = redis.call('HMGET', runs, unpack(ids)), nil
  local fallen, fell_before = find_fallen(entries)
  for i, id in ipairs(ids) do
    local token, due, _, lost, unknown
    if entries[i] then token, due, _, lost, unknown = parse(entries[i]) end
    local terms = has.terms and terms_of(queue, id)
    if terms then free_slot(queue, id, terms) end
    if is_gone(id, token) then
      forget_claim(id, token, terms)
    else
      last = worker_of(token)
      take_back(id, token, due, lost, unknown, terms, not is_shared(token, fallen, fell_before))
    end
  end
  if last and service then redis.call('SET', step_prefix .. ':fell', last, 'PX', ms(lease / 2)) end
  redis.call('ZREM', active, unpack(ids))
end
