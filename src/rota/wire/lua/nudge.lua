-- nudge: leave a wake token if a job is due, or will be before workers look by themselves.
--
-- KEYS  1 queue  2 wake
-- ARGV  1 horizon, ms: a job due within it is worth a token
-- Returns ms until the next job is due (0 = one is due, -1 = none).

--@include now
local head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #head == 0 then return -1 end
local left = math.max(0, math.ceil(tonumber(head[2]) - now))
if left <= tonumber(ARGV[1]) and redis.call('LLEN', KEYS[2]) == 0 then redis.call('LPUSH', KEYS[2], '1') end
return left
