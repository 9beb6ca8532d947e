-- Enqueue jobs that are not there yet. KEYS: the queue, the wake list. ARGV: the time in ms, how long a payload is kept in ms,
-- then of each job its id and its payload.
for at = 3, #ARGV, 2 do
  local job = 'arq:job:' .. ARGV[at]
  if redis.call('EXISTS', job, 'arq:result:' .. ARGV[at]) == 0 then
    redis.call('PSETEX', job, ARGV[2], ARGV[at + 1])
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[at])
  end
end
-- One sign is enough: who takes it looks at the queue.
if redis.call('LLEN', KEYS[2]) == 0 then
  redis.call('LPUSH', KEYS[2], '1')
end
