-- enqueue: put jobs on one queue, and wake one worker.
--
-- KEYS  1 queue  2 wake  3 events ('' = write none)
-- ARGV  1 queue's name in events  2 events to keep  3 1 = an id whose job has finished may be used again
--       then, for each job, 6 values: id, payload, due in ms (-1 = now), delay in ms, life of the payload in ms
--       (0 = for ever), job's name
-- Returns for each job 1 = put, 0 = a live job holds its id (nothing was changed for it).

local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers, scores, results = {}, {}, {}

for at = 3, #ARGV - 1, 6 do
  local id, payload, due, delay, life = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]),
    tonumber(ARGV[at + 5])
  if due < 0 then due = now + delay end
  local free = ARGV[3] == '1' or redis.call('EXISTS', 'arq:result:' .. id) == 0
  local put = free and redis.call('SET', 'arq:job:' .. id, payload, 'NX')
  if put then
    if life > 0 then redis.call('PEXPIRE', 'arq:job:' .. id, string.format('%.0f', due - now + life)) end
    answers[#answers + 1] = 1
    scores[#scores + 1] = string.format('%.0f', due)
    scores[#scores + 1] = id
    results[#results + 1] = 'arq:result:' .. id
    if events ~= '' then
      redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'enqueued', 'queue', ARGV[1], 'id', id,
        'task', ARGV[at + 6], 'due', string.format('%.0f', due), 'payload', payload)
    end
  else
    answers[#answers + 1] = 0
  end
end

for from = 1, #scores, 1000 do
  redis.call('ZADD', queue, unpack(scores, from, math.min(from + 999, #scores)))
end
for from = 1, #results, 1000 do
  redis.call('DEL', unpack(results, from, math.min(from + 999, #results)))
end
if #scores > 0 and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
return answers
