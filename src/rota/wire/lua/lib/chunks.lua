---------------------------------------------------------------------------------------------------- chunks
-- Commands with a great many values: Lua's stack holds a few thousand, so lists are cut before they are unpacked.

local function each_chunk(list, call)
  for first = 1, #list, 1000 do call(unpack(list, first, math.min(first + 999, #list))) end
end

-- Run `command` on `key` with all values of `list`.
local function chunked(command, key, list)
  each_chunk(list, function(...) redis.call(command, key, ...) end)
end

local function delete(keys)
  each_chunk(keys, function(...) redis.call('DEL', ...) end)
end
