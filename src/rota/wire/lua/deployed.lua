-- deployed: note that a version of the code begins to run on some queues, unless it runs there already.
--
-- KEYS  for each queue: its marks, its processes, the heartbeat of a process (prefix)
-- ARGV  1 process   2 version of its code   3 for how long a mark is shown, ms   4 for how long the last one is kept, ms
-- Returns how many queues were marked.
--
-- Keeps true: a queue has a mark where the version that its workers run changes, one however many of them start, and none
-- where a worker starts beside others of its version. A full Redis refuses it.

--@include now

local process, version, shown_for, kept_for = unpack(ARGV, 1, 4)
-- The most marks of a queue, and the longest text of them that is ours.
local MOST, LONGEST = 50, 20000

-- Tell whether another process of this queue, which lives, runs this version.
local function runs_already(processes, heartbeat)
  local names, keys = redis.pcall('SMEMBERS', processes), {}
  if names.err then return false end
  for _, name in ipairs(names) do
    if name ~= process then keys[#keys + 1] = heartbeat .. ':' .. name end
  end
  for first = 1, #keys, 1000 do
    for _, beat in ipairs(redis.call('MGET', unpack(keys, first, math.min(first + 999, #keys)))) do
      if beat and string.match(beat, '^%S+ %S+ %S+ %S+ (%S+)') == version then return true end
    end
  end
  return false
end

local marked = 0
for at = 1, #KEYS, 3 do
  local text = redis.call('MGET', KEYS[at])[1] or '' -- MGET: a key of another type reads as absent
  local lines, last = {}, nil
  for line in string.gmatch(#text > LONGEST and '' or text, '[^\n]+') do
    local since, former = string.match(line, '^(%d+) (%S+) %S+$')
    if since then lines[#lines + 1], last = { tonumber(since), line }, former end
  end
  if last ~= version and not runs_already(KEYS[at + 1], KEYS[at + 2]) then
    lines[#lines + 1] = { now, now_ms .. ' ' .. version .. ' ' .. process }
    marked = marked + 1
  end
  local kept = {}
  for i, line in ipairs(lines) do
    if i == #lines or #lines - i < MOST and line[1] > now - tonumber(shown_for) then kept[#kept + 1] = line[2] end
  end
  if #kept > 0 then redis.call('SET', KEYS[at], table.concat(kept, '\n'), 'PX', kept_for) end
end
return marked
