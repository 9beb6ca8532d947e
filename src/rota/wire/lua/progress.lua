-- progress: keep and tell what running jobs report, where their claims still hold.
--
-- KEYS  1 runs  2 progress  3 events  4 terms
-- ARGV  1 queue's name in events  2 entries of events to keep; then for each report: id, token, job's name, percent, message
-- Returns how many reports counted.
--
-- Keeps true: a report from a claim that was lost or settled changes nothing.

local runs, progress, events, terms = unpack(KEYS)
local queue_name, keep_events = ARGV[1], ARGV[2]

--@include events

redis.call('PERSIST', runs) -- a full Redis allows it, and what follows it
local ids = {}
for at = 3, #ARGV, 5 do ids[#ids + 1] = ARGV[at] end
local owned = redis.pcall('HMGET', terms, unpack(ids)) -- a key of another type says of no job whose it is
local counted = 0
for at = 3, #ARGV, 5 do
  local id, token, task, percent, message = unpack(ARGV, at, at + 4)
  local entry = redis.call('HGET', runs, id)
  if entry and string.match(entry, '^(%S+)') == token then
    redis.call('HSET', progress, id, percent .. ' ' .. message)
    tell('progress', queue_name, id, task, 0, nil,
      { percent = tonumber(percent), message = message ~= '' and message or nil }, nil, nil, owned[(at + 2) / 5])
    counted = counted + 1
  end
end
write_events()
return counted
