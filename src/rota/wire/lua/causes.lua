-- causes: tell of what the newest dead letters of some queues died.
--
-- KEYS  the dead letters of each queue
-- ARGV  1 the most letters that are looked at, over all queues  2 the most causes of a queue that are told
-- Returns for each queue: the letters of the last hour, those of the last day, how many of either were looked at, and its
-- causes, the most numerous first, each { cause, letters of the last hour, of the last day, the job's name, id and
-- time of death of the newest, the beginning of its error }, by those letters that were looked at.
--
-- Keeps true: nothing is written. Of the letters that are looked at each queue has the same share, and what one does not
-- need is for the others.

--@include now

local most, told = tonumber(ARGV[1]), tonumber(ARGV[2])
local HOUR, DAY = now - 3600000, now - 86400000
local BEGINNING = 600 -- bytes of an error

-- Return a letter's cause; nil for a letter without one, which may have expired.
local function cause_of(letter)
  local cause = redis.pcall('HGET', letter, 'cause')
  return type(cause) == 'string' and cause or nil
end

local function add(group, at)
  if at >= HOUR then group[2] = group[2] + 1 end
  group[3] = group[3] + 1
end

-- Return the causes of the newest letters of a day, at most `share`, and how many of these are of the last hour.
local function causes_of(dead, share)
  local groups, by_cause, looked = {}, {}, 0
  local letters = share > 0 and redis.call('ZRANGE', dead, 0, share - 1, 'REV', 'WITHSCORES') or {}
  for i = 1, #letters, 2 do
    local id, at = letters[i], tonumber(letters[i + 1])
    if at < DAY then break end
    if at >= HOUR then looked = looked + 1 end
    local cause = cause_of(dead .. ':' .. id)
    if cause then
      if not by_cause[cause] then
        by_cause[cause] = { cause, 0, 0, '', id, ms(at), '' }
        groups[#groups + 1] = by_cause[cause]
      end
      add(by_cause[cause], at)
    end
  end
  table.sort(groups, function(one, other) return one[3] > other[3] end)
  return groups, looked
end

local found, order = {}, {}
for place, dead in ipairs(KEYS) do
  found[place] = { redis.call('ZCOUNT', dead, ms(HOUR), '+inf'), redis.call('ZCOUNT', dead, ms(DAY), '+inf'), 0, 0, {} }
  order[place] = place
end
table.sort(order, function(one, other) return found[one][2] < found[other][2] end)
local left = most
for turn, place in ipairs(order) do
  local dead, queue = KEYS[place], found[place]
  local share = math.min(queue[2], math.floor(left / (#order - turn + 1)))
  left = left - share
  local groups, looked = causes_of(dead, share)
  queue[3], queue[4] = looked, share
  for i = 1, math.min(told, #groups) do
    local name, error = unpack(redis.call('HMGET', dead .. ':' .. groups[i][5], 'task', 'error'))
    groups[i][4], groups[i][7] = name or '', string.sub(error or '', 1, BEGINNING)
    queue[5][i] = groups[i]
  end
end
return found
