-- failures: tell of what the dead letters of some queues died, the most numerous cause first.
--
-- KEYS  the queues
-- ARGV  1 for how long letters are kept, ms  2 for how long back they count, ms  3 in how many steps of time  4 one cause ('' = all)
--       5 how many causes are passed over  6 how many are told  7 the most causes that are looked at  8 how many letters of each are told
--       9 1 = tell of the reasons too
-- Returns { now ms; how many causes have letters in this time; for each queue { letters that are kept, those of this time, those of
--   this time with a cause that was looked at }; for each reason { queue, reason, letters of this time, ms of the first of them };
--   for each cause that is told { queue, cause, letters that are kept, those of this time, of the last hour, the last day, the last week, ms
--   of the first, ms of the newest, { for each step its letters }, the newest's error, { for each letter id, task, reason, version } } }.
-- The letters that are told are the newest, the newest first, and behind them the first. A cause has the reason of its newest letter.
--
-- Keeps true: nothing is written. What an expired letter left in a list does not count.

local retention, back, steps, only, passed, told, looks, named, has_reasons =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], unpack(ARGV, 5, 9)
passed, told, looks, named = tonumber(passed), tonumber(told), tonumber(looks), tonumber(named)
local HOUR, DAY, WEEK = 3600000, 86400000, 604800000

--@include now
--@include letters

local kept, from = now - retention, now - math.min(back, retention)

-- Return how many letters are in a list since a time; none where the list is something else.
local function since(list, at)
  local count = redis.pcall('ZCOUNT', list, ms(math.max(at, kept)), '+inf')
  return type(count) == 'number' and count or 0
end

local function causes_of(queue)
  if only ~= '' then return { only } end
  local causes = redis.pcall('ZRANGE', queue .. ':causes', 0, math.floor(looks / #KEYS), 'REV')
  return causes.err and {} or causes
end

local function score(list, place)
  return tonumber(redis.call('ZRANGE', list, place, place, 'WITHSCORES')[2] or 0)
end

local reasons, by_reason = {}, {}

-- Count the letters of a cause under the reason of the newest.
local function add_reason(place, group)
  local newest = redis.call('ZRANGE', group.list, -1, -1)[1]
  local reason = redis.pcall('HMGET', KEYS[place] .. ':dead:' .. newest, 'reason')[1] or ''
  local first = tonumber(redis.call('ZRANGEBYSCORE', group.list, ms(from), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or now)
  local name = place .. ' ' .. reason
  local found = by_reason[name]
  if not found then
    found = { place, reason, 0, first }
    by_reason[name] = found
    reasons[#reasons + 1] = found
  end
  found[3], found[4] = found[3] + group.count, math.min(found[4], first)
end

local function look_at_letters(queue, list)
  local ids, found = redis.call('ZRANGE', list, 0, named - 1, 'REV'), {}
  if redis.call('ZCARD', list) > named then ids[#ids + 1] = redis.call('ZRANGE', list, 0, 0)[1] end
  for i, id in ipairs(ids) do
    local values = redis.pcall('HMGET', queue .. ':dead:' .. id, 'task', 'reason', 'version')
    found[i] = { id, values[1] or '', values[2] or '', values[3] or '' }
  end
  return found, ids[1]
end

local function trend_of(list)
  local trend, step = {}, (now - from) / steps
  for i = 1, steps do
    trend[i] = redis.call('ZCOUNT', list, '(' .. ms(from + (i - 1) * step), ms(from + i * step))
  end
  return trend
end

local function tell(group)
  local queue, list = KEYS[group.place], group.list
  local letters, newest = look_at_letters(queue, list)
  return { group.place, group.cause, since(list, kept), group.count, since(list, now - HOUR), since(list, now - DAY),
    since(list, now - WEEK), ms(score(list, 0)), ms(score(list, -1)), trend_of(list),
    redis.pcall('HMGET', queue .. ':dead:' .. newest, 'error')[1] or '', letters }
end

local groups, queues = {}, {}
for place, queue in ipairs(KEYS) do
  local noted = 0
  for _, cause in ipairs(causes_of(queue)) do
    local list = letters_of(queue, cause)
    local group = { place = place, cause = cause, list = list, count = since(list, from) }
    if group.count > 0 then
      groups[#groups + 1] = group
      noted = noted + group.count
      if has_reasons == '1' then add_reason(place, group) end
    end
  end
  local dead = queue .. ':dead'
  queues[place] = { since(dead, kept), since(dead, from), noted }
end
table.sort(groups, function(one, other)
  if one.count ~= other.count then return one.count > other.count end
  return one.place .. one.cause < other.place .. other.cause
end)
local rows = {}
for i = passed + 1, math.min(#groups, passed + told) do rows[#rows + 1] = tell(groups[i]) end
return { now_ms, #groups, queues, reasons, rows }
