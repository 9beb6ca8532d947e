-- watch: take, keep or give up the watcher's role of a queue.
--
-- KEYS  1 watcher
-- ARGV  1 worker id  2 life of the role, ms (0 = give it up)
-- Returns 1 if the worker holds the role now, else 0.
--
-- Keeps true: at most one worker holds the role; it ends by itself unless it is kept.

local watcher, worker, life = KEYS[1], ARGV[1], ARGV[2]

local holder = redis.call('GET', watcher)
if holder and holder ~= worker then return 0 end
if life == '0' then
  redis.call('DEL', watcher)
  return 0
end
if holder then
  redis.call('PEXPIRE', watcher, life)
  return 1
end
redis.call('DEL', watcher) -- a full Redis allows it, and what follows it
redis.call('SET', watcher, worker, 'PX', life)
return 1
