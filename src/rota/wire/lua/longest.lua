-- longest: tell how long the lines are in which jobs of a queue wait for a limit.
--
-- KEYS  1 queue  2 parked  3 terms
-- ARGV  1 how many of the jobs that wait are looked at
-- Returns a limit, a key of it and how many wait there, for each line that one of these jobs stands in.
--
-- Keeps true: it changes nothing, and what it costs does not grow with the jobs that wait. They are looked at in slices from
-- end to end, so that a line is found that a good part of them stand in.

local SLICE = 20 -- jobs

local queue, parked, terms_key, most = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1])

local function looked_at()
  local all = redis.call('ZCARD', parked)
  if all <= most then return redis.call('ZRANGE', parked, 0, -1) end
  local ids, apart = {}, all / math.ceil(most / SLICE)
  for begin = 0, all - 1, apart do
    begin = math.floor(begin)
    for _, id in ipairs(redis.call('ZRANGE', parked, begin, begin + SLICE - 1)) do ids[#ids + 1] = id end
  end
  return ids
end

local ids, told, seen = looked_at(), {}, {}
if #ids == 0 then return told end
for _, terms in ipairs(redis.call('HMGET', terms_key, unpack(ids))) do
  for limit, key in string.gmatch(terms or '', '[cr]=([^%s|]+)|([^%s|]*)|') do
    local line = queue .. ':line:' .. limit .. ':' .. key
    if not seen[line] then
      seen[line] = true
      local waiting = redis.pcall('ZCARD', line) -- a key of another type counts as none
      if type(waiting) == 'number' and waiting > 0 then
        told[#told + 1] = limit
        told[#told + 1] = key
        told[#told + 1] = waiting
      end
    end
  end
end
return told
