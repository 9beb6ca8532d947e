---------------------------------------------------------------------------------------------------- rates
-- Rate limits, kept by GCRA: each start moves `tat`, the theoretical arrival time of the next, on by one interval.
--
-- A rate is { key, interval, tolerance, tat }; its times are in microseconds.

--@include now
--@include lines

local now_us = time[1] * 1000000 + time[2]
local LONGEST = 1e15 -- more than any limit's time, microseconds
local rates = {} -- by key: those that this script has read

-- Return the `tat` that is written, or 0 where no start can have written it: then the limit was another one, or the
-- server's clock was set back.
local function sane(rate, written)
  local tat = tonumber(written or nil) or 0
  return tat <= now_us + rate.interval + rate.tolerance and tat or 0
end

-- Return the rate that a term names; nil for a term that cannot be read, which limits nothing.
local function rate_of(rate_term)
  local limit, key, interval, tolerance = string.match(rate_term, '^(.-)|(.-)|(%d+)|(%d+)$')
  if not limit then return nil end
  local limit_key = limit .. ':' .. key
  if rates[limit_key] then return rates[limit_key] end
  local written = redis.call('MGET', limit, limit_key)
  local every, at_once = string.match(written[1] or '', '^(%d+) (%d+)$')
  local rate = { key = limit_key, interval = math.min(tonumber(every or interval), LONGEST),
    tolerance = math.min(tonumber(at_once or tolerance), LONGEST) }
  rate.tat = sane(rate, written[2])
  rates[limit_key] = rate
  return rate
end

-- Return when a job may start that has `rank` others before it in its line.
local function opens_at(rate, rank)
  if rank == 0 then return math.max(now_us, rate.tat - rate.tolerance) end
  return math.max(now_us, math.max(rate.tat, now_us) + rank * rate.interval - rate.tolerance)
end

local function count_start(rate)
  rate.tat = math.max(rate.tat, now_us) + rate.interval
  redis.call('SET', rate.key, ms(rate.tat), 'PX', ms(math.ceil((rate.tat - now_us) / 1000) + 1))
end

-- Make the head of a rate's line due as soon as the rate lets it start.
local function bring_forward(queue, rate)
  local line = line_of(queue, rate.key)
  for _ = 1, 100 do
    local head = redis.call('ZRANGE', line, 0, 0)[1]
    if not head then return end
    local score, turn = redis.call('ZSCORE', queue, head), math.ceil(opens_at(rate, 0) / 1000)
    if score then
      if tonumber(score) > turn then
        schedule(queue, head, turn, terms_of(queue, head))
        redis.call('ZADD', queue .. ':parked', 'XX', turn, head)
      end
      return
    end
    drop_ghost(queue, line, head)
  end
end

-- Leave the line for a rate, and let the next job in it move up.
local function leave_rate(queue, id, rate)
  if redis.call('ZREM', line_of(queue, rate.key), id) == 1 then bring_forward(queue, rate) end
end
