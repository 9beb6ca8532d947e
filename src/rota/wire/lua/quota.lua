-- quota: tell whether more jobs may be enqueued by a key of the API, or for its tenant, that has a quota of them.
--
-- KEYS  1 the jobs that were enqueued, `<queue> <id>` by when they were looked at last  2 there while that was a moment ago
-- ARGV  1 the most jobs that are not over  2 how many are to come
-- Returns { 1 = there is room, how many there are }
--
-- Keeps true: every job that is not over counts. One that is over counts until it is looked at, which is when there is no
-- room: at most 2,000 jobs in a tenth of a second, those first that were not looked at for longest.

--@include now

local jobs, looked = KEYS[1], KEYS[2]
local most, more = tonumber(ARGV[1]), tonumber(ARGV[2])
local PAGE, PAGES, REST = 500, 4, 100

local function has_room() return redis.call('ZCARD', jobs) + more <= most end

-- Look at a page of the jobs, and strike those that are over.
local function strike()
  local gone, left = {}, {}
  for _, member in ipairs(redis.call('ZRANGE', jobs, 0, PAGE - 1)) do
    local queue, id = string.match(member, '^(%S+) (.*)$')
    if queue and redis.call('ZSCORE', 'arq:queue:' .. queue, id) then
      left[#left + 1] = now_ms
      left[#left + 1] = member
    else
      gone[#gone + 1] = member
    end
  end
  if #gone > 0 then redis.call('ZREM', jobs, unpack(gone)) end
  if #left > 0 then redis.pcall('ZADD', jobs, unpack(left)) end
end

if not has_room() and redis.pcall('SET', looked, '1', 'NX', 'PX', REST) then
  for _ = 1, PAGES do
    if has_room() then break end
    strike()
  end
end
return { has_room() and 1 or 0, redis.call('ZCARD', jobs) }
