---------------------------------------------------------------------------------------------------- now
-- The server's clock in milliseconds, and how times are written to Redis.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Return a time as a whole number: Lua's own conversion would turn it into 1.7e+12.
local function ms(value) return string.format('%.0f', value) end

local now_ms = ms(now)
