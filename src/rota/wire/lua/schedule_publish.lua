-- schedule_publish: declare the schedules of a release, or say again that a worker of it lives.
--
-- KEYS  1 release  2 releases
-- ARGV  1 id of the release  2 its schedules, JSON  3 how long that holds, ms
-- Returns 1.
--
-- Keeps true: a release keeps the time at which it was declared first as long as one of its workers lives, so that the
-- newest of those that live side by side is known; what no worker declares any more is off the list. So too where Redis
-- is full.

local release, releases = KEYS[1], KEYS[2]
local id, text, life = unpack(ARGV)

--@include now

redis.call('PERSIST', release) -- a full Redis allows it, and what follows it
redis.call('SET', release, text, 'PX', life)
redis.call('ZADD', releases, 'NX', now_ms, id)
for _, other in ipairs(redis.call('ZRANGE', releases, 0, -1)) do
  if redis.call('EXISTS', releases .. ':' .. other) == 0 then redis.call('ZREM', releases, other) end
end
return 1
