-- Settle jobs that have finished, and claim the next. KEYS: the queue, the wake list. ARGV: the time in ms, how many jobs to
-- claim, how long results are kept in ms, then of each finished job its id and its result.
for at = 4, #ARGV, 2 do
  redis.call('PSETEX', 'arq:result:' .. ARGV[at], ARGV[3], ARGV[at + 1])
  redis.call('DEL', 'arq:job:' .. ARGV[at], 'arq:retry:' .. ARGV[at], 'arq:in-progress:' .. ARGV[at])
end
if ARGV[2] == '0' then
  return {}
end
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #ids == 0 then
  return {}
end
redis.call('ZREM', KEYS[1], unpack(ids))
local payloads = {}
for at, id in ipairs(ids) do
  payloads[at] = 'arq:job:' .. id
  redis.call('PSETEX', 'arq:in-progress:' .. id, 300000, '1')
  redis.call('INCR', 'arq:retry:' .. id)
end
return {ids, redis.call('MGET', unpack(payloads))}
