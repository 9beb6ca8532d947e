---------------------------------------------------------------------------------------------------- now
-- The server's clock, ms, and times as Redis takes them: whole, and never in Lua's short form (1.7e+12).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ms(value) return string.format('%.0f', value) end
local now_ms = ms(now)
