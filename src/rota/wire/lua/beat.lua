-- beat: write the heartbeats of a process where Redis is full, and refuses them as plain commands.
--
-- KEYS  for each queue: heartbeat, processes
-- ARGV  1 process  2 life of a heartbeat, ms; then the heartbeat for each queue
-- Returns 1.
--
-- Keeps true: a process that drains a full Redis is seen by those who scale and watch.

local process, life = ARGV[1], ARGV[2]

redis.call('PERSIST', KEYS[1]) -- a full Redis allows it, and what follows it
for at = 1, #KEYS, 2 do
  redis.call('SET', KEYS[at], ARGV[2 + (at + 1) / 2], 'PX', life)
  redis.call('SADD', KEYS[at + 1], process)
end
return 1
