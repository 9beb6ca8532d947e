-- meter: count a request against the rate of its key of the API, by GCRA.
--
-- KEYS  1 when the next request would come at an even pace, us
-- ARGV  1 time from one request to the next, us  2 how many may come at once
-- Returns { 1, how many more may come now, ms until all may again } or, where there are too many, { 0, 0, ms until one may }.
--
-- Keeps true: in any time no more are let in than the burst, and what the rate has in that time. A refused request counts for
-- nothing. Where Redis is full nothing is counted, and all are let in.

--@include now

local key = KEYS[1]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])

local now_us = time[1] * 1000000 + time[2]
local room = interval * burst
local written = tonumber(redis.call('MGET', key)[1] or nil) or 0 -- MGET: a key of another type reads as absent
-- It was another rate, or the server's clock was set back.
if written > now_us + room then written = 0 end
local after = math.max(written, now_us) + interval
local over = after - now_us - room
if over > 0 then return { 0, 0, math.ceil(over / 1000) } end
redis.pcall('SET', key, ms(after), 'PX', math.ceil((after - now_us) / 1000))
return { 1, math.floor(-over / interval), math.ceil((after - now_us) / 1000) }
