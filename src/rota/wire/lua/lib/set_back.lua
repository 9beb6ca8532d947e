---------------------------------------------------------------------------------------------------- set back
-- What was due before the server's clock was set back, and the claims of that time. Expects what step.lua says of its
-- call; reap.lua puts this together when it is needed.

-- Give jobs of `source` that were to be due up to `last` the times that they have by the clock as it is now, in their
-- order. Claimed ones have a deadline of their own. Return whether there may be more of them.
local function bring_back(source, last, behind)
  local claimed = 0
  for _ = 1, 4 do
    local jobs = redis.call('ZRANGEBYSCORE', source, '(' .. now_ms, last, 'WITHSCORES', 'LIMIT', claimed, 500)
    local ids, scores = {}, {}
    for i = 1, #jobs, 2 do ids[#ids + 1] = jobs[i] end
    if #ids == 0 then return false end
    local deadlines = redis.call('ZMSCORE', active, unpack(ids))
    for i, id in ipairs(ids) do
      if deadlines[i] then
        claimed = claimed + 1
      else
        scores[#scores + 1] = ms(tonumber(jobs[2 * i]) - behind)
        scores[#scores + 1] = id
      end
    end
    if #scores > 0 then
      redis.call('ZADD', queue, 'XX', unpack(scores))
      if source ~= queue then redis.call('ZADD', source, unpack(scores)) end
    end
    if #ids < 500 then return false end
  end
  return true
end

-- Lay claims and due jobs where they belong by the clock as it is now. Return 'more' if that is not all of them.
local function lay_back(last_seen)
  local too_late = redis.call('ZRANGEBYSCORE', active, '(' .. deadline_ms, '+inf', 'LIMIT', 0, 1000)
  for _, id in ipairs(too_late) do
    redis.call('ZADD', queue, 'XX', deadline_ms, id)
    redis.call('ZADD', active, deadline_ms, id)
  end
  local behind = last_seen - now
  if bring_back(queue, ms(last_seen), behind) then return 'more' end
  -- Those in a line are brought forward by the ones before them, and the first ones by nobody.
  bring_back(queue .. ':parked', ms(last_seen + with_terms().BACKSTOP), behind)
end
