-- tick: enqueue one tick of an arq cron job, once, whatever clocks its schedulers have.
--
-- KEYS  1 last tick  2 queue  3 wake
-- ARGV  1 tick, ms  2 how long to remember it, ms  3 id  4 payload  5 due, ms  6 life of the payload, ms
-- Returns 1 if the tick was enqueued, 0 if it or a later one was before, or its id is taken.
--
-- Keeps true: ticks of one job are enqueued in order, each at most once, and whole or not at all.

--@include whole

local last_tick, queue, wake = KEYS[1], KEYS[2], KEYS[3]
local tick, memory, id, payload, due, life = unpack(ARGV)

local last = redis.call('GET', last_tick)
if last and tonumber(last) >= tonumber(tick) then return 0 end
if redis.call('EXISTS', 'arq:job:' .. id, 'arq:result:' .. id) > 0 then return 0 end
whole(function()
  redis.call('SET', 'arq:job:' .. id, payload, 'PX', life)
  redis.call('ZADD', queue, due, id)
  redis.call('SET', last_tick, tick, 'PX', memory)
end)
pcall(function()
  if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
end)
return 1
