---------------------------------------------------------------------------------------------------- reap
-- Claims whose lease has ended go back into the line, unless it was the server that stood still. Where its clock was
-- set back, what was due is due still. Expects what step.lua says of its call.

--@include entries
--@include kept

-- A clock that is set back by less is not worth a look at every job, ms.
local SET_BACK = 1000

local function clock_parts()
  return (function()
--@include clock
    return { forgive = forgive, go_back = go_back, insist = insist }
  end)()
end

-- Remember when a script ran, and notice when none has for too long: then the server may have stood still. Return
-- whether its clock was set back.
local function check_clock()
  local last_seen = tonumber(set_first(seen, now_ms, 'PX', ms(lease * 4), 'GET') or nil)
  if last_seen and last_seen > now + SET_BACK then
    local clock = clock_parts()
    clock.insist(last_seen, pcall(clock.go_back, last_seen))
    return true
  end
  if last_seen and now - last_seen <= lease / 2 then return end
  local clock = clock_parts()
  clock.insist(0, pcall(clock.forgive))
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
    if terms then with_terms().free_slot(queue, id, terms) end
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
