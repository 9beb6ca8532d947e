-- nudge: leave a wake token if a job is due, or will be before the workers look by themselves.
--
-- KEYS  1 queue  2 wake
-- ARGV  1 horizon, ms: a job due within it is worth a token
-- Returns ms until the next job is due (0 = one is due, -1 = none waits).
--
-- Keeps true: a queue has at most one wake token.

--@include now
local queue, wake, horizon = KEYS[1], KEYS[2], tonumber(ARGV[1])

local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
if #head == 0 then return -1 end
local left = math.max(0, math.ceil(tonumber(head[2]) - now))
if left <= horizon and redis.call('LLEN', wake) == 0 then
  redis.call('PERSIST', wake) -- a full Redis allows it, and what follows it
  redis.call('LPUSH', wake, '1')
end
return left
