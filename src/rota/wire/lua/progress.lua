-- progress: what running jobs report, if they are still the ones that run.
--
-- KEYS  1 runs  2 progress  3 events
-- ARGV  1 queue's name in events  2 events to keep; then id, token, job's name, percent, message for each report
-- Returns how many counted.

local counted = 0
for at = 2, #ARGV - 1, 5 do
  local id, token, percent, message = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4], ARGV[at + 5]
  local entry = redis.call('HGET', KEYS[1], id)
  if entry and string.match(entry, '^(%S+)') == token then
    redis.call('HSET', KEYS[2], id, percent .. ' ' .. message)
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 'type', 'progress', 'queue', ARGV[1], 'id', id,
      'task', ARGV[at + 3], 'percent', percent, 'message', message)
    counted = counted + 1
  end
end
return counted
