-- tick: let one tick of a cron job through, once, whatever clocks its schedulers have.
--
-- KEYS  1 last tick
-- ARGV  1 tick, ms  2 how long to remember it, ms
-- Returns 1 if the tick is later than every one before it.

local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
