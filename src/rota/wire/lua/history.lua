-- history: add what a process has counted since its last call to the minute of its queues in which this call comes.
--
-- KEYS  1 the number of the process's last call   then for each queue its history (prefix: the number of an hour follows)
-- ARGV  1 number of this call   2 for how long that is remembered, ms   3 for how long a minute is kept, ms
--       then for each queue what was counted, `<outcomes>|<waits>|<run times>`, as model/history/tallies.py says it
-- Returns 1, or 0 if a call of this number was counted before.
--
-- Keeps true: a call that is sent again counts once, and one that fails on the way is rather lost than counted twice.
-- A full Redis refuses it as a whole. What cannot be read of a minute counts as nothing.

--@include now

local HOUR, MINUTE = 3600000, 60000
-- The highest place of a count; the largest number; the longest text of an hour. More is another program's.
local FURTHEST, MOST, LONGEST = 99, 1e12, 100000

local last = tonumber(redis.call('MGET', KEYS[1])[1] or nil) -- MGET: a key of another type reads as absent
if last and last < 1e15 and last >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

local hour, minute = math.floor(now / HOUR), ms(math.floor(now / MINUTE) % 60)
local life = ms((hour + 1) * HOUR - now + tonumber(ARGV[3]))

-- Numbers by their digits, base 26, and the other way round: few of them differ, and each is worked out once a call.
local numbers = setmetatable({}, {
  __index = function(known, digits)
    local number = 0
    for i = 1, #digits - 1 do number = number * 26 + string.byte(digits, i) - 97 end
    number = math.min(number * 26 + string.byte(digits, -1) - 65, MOST)
    known[digits] = number
    return number
  end,
})
local digits_of = setmetatable({}, {
  __index = function(known, number)
    local rest = math.min(number, MOST)
    local digits = string.char(65 + rest % 26)
    rest = math.floor(rest / 26)
    while rest > 0 do
      digits = string.char(97 + rest % 26) .. digits
      rest = math.floor(rest / 26)
    end
    known[number] = digits
    return digits
  end,
})

-- Add to `counts` what a part of a text says: places, each with the numbers from there on.
local function add(counts, text)
  for first, run in string.gmatch(text, '(%d+)(%a+)') do
    local place = tonumber(first)
    for digits in string.gmatch(run, '%l*%u') do
      if place <= FURTHEST then counts[place] = (counts[place] or 0) + numbers[digits] end
      place = place + 1
    end
  end
end

-- Return counts as `add` reads them.
local function text_of(counts)
  local text, following = {}, -1
  for place = 0, FURTHEST do
    local number = counts[place]
    if number and number > 0 then
      text[#text + 1] = place == following and digits_of[number] or place .. digits_of[number]
      following = place + 1
    end
  end
  return table.concat(text)
end

local PARTS = '^([^|\n]*)|([^|\n]*)|([^|\n]*)$'

-- Return the sum of two texts.
local function sum(one, other)
  local parts = {}
  for i, text in ipairs({ string.match(one, PARTS) }) do
    parts[i] = {}
    add(parts[i], text)
  end
  if #parts == 0 then return other end
  for i, text in ipairs({ string.match(other, PARTS) }) do add(parts[i], text) end
  for i = 1, 3 do parts[i] = text_of(parts[i]) end
  return table.concat(parts, '|')
end

for i = 2, #KEYS do
  local key, counted = KEYS[i] .. ':' .. ms(hour), ARGV[2 + i]
  local text = redis.call('MGET', key)[1] or ''
  if #text > LONGEST then text = '' end
  local begins = '\n' .. minute .. ' '
  local from, to = string.find(text, begins, 1, true)
  if from then
    local ends = (string.find(text, '\n', to, true) or #text + 1) - 1
    text = string.sub(text, 1, to) .. sum(string.sub(text, to + 1, ends), counted) .. string.sub(text, ends + 1)
  else
    text = text .. begins .. counted
  end
  redis.call('SET', key, text, 'PX', life)
end
return 1
