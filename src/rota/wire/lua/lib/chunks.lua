---------------------------------------------------------------------------------------------------- chunks
-- Commands with very many values: lists are cut before they meet Lua's limit of values on the stack.

local function each_chunk(list, call)
  for from = 1, #list, 1000 do call(unpack(list, from, math.min(from + 999, #list))) end
end

local function chunked(command, key, list)
  each_chunk(list, function(...) redis.call(command, key, ...) end)
end

local function delete(keys)
  each_chunk(keys, function(...) redis.call('DEL', ...) end)
end
