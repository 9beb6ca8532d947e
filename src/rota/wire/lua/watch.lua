-- watch: take, keep or give up the watcher's role of a queue.
--
-- KEYS  1 watcher
-- ARGV  1 worker id  2 life of the role, ms (0 = give it up)
-- Returns 1 if the worker holds the role now.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
