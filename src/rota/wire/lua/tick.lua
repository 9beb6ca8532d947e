-- tick: enqueue one tick of an arq cron job, once, whatever clocks its schedulers have.
--
-- KEYS  1 last tick  2 queue  3 wake
-- ARGV  1 tick, ms  2 how long to remember it, ms  3 id  4 payload  5 due, ms  6 life of the payload, ms
-- Returns 1 if the tick was enqueued, 0 if it or a later one was before.

local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
if redis.call('EXISTS', 'arq:job:' .. ARGV[3], 'arq:result:' .. ARGV[3]) > 0 then return 0 end
redis.call('SET', 'arq:job:' .. ARGV[3], ARGV[4], 'PX', ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('LLEN', KEYS[3]) == 0 then redis.call('LPUSH', KEYS[3], '1') end
return 1
