---------------------------------------------------------------------------------------------------- clock
-- What is done where the server's clock says that something was wrong: the server stood still, or its clock was set back.
-- Expects what step.lua says of its call; reap.lua puts this together when it is needed.

--@include entries

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
