-- replay: put dead letters back on their queue, as new, with all attempts before them, and what they had saved.
--
-- KEYS  1 queue  2 dead  3 wake  4 events  5 checkpoint
-- ARGV  1 queue's name in events  2 events to keep; then ids
-- Returns for each id 'replayed', 'absent' (no such letter), 'taken' (a live job holds the id) or 'empty' (the
-- payload had expired before the job died: there is nothing to run).

--@include now
--@include terms
--@include put
local queue, dead, wake, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local answers, replayed = {}, false

for i = 3, #ARGV do
  local id = ARGV[i]
  local letter = dead .. ':' .. id
  local fields = redis.call('HMGET', letter, 'payload', 'task', 'terms', 'checkpoint')
  if redis.call('EXISTS', letter) == 0 then
    redis.call('ZREM', dead, id)
    answers[#answers + 1] = 'absent'
  elseif not fields[1] then
    answers[#answers + 1] = 'empty'
  elseif put(queue, id, fields[1], now, 0, fields[3] or '') then
    redis.call('DEL', 'arq:retry:' .. id, letter)
    redis.call('ZREM', dead, id)
    if fields[4] then
      redis.call('HSET', KEYS[5], id, fields[4])
      redis.call('SET', 'arq:retry:' .. id, '0') -- a checkpoint counts only beside a counter
    end
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'enqueued', 'queue', ARGV[1], 'id', id,
      'task', fields[2] or '', 'due', now_ms, 'payload', fields[1], 'reason', 'replayed')
    answers[#answers + 1] = 'replayed'
    replayed = true
  else
    answers[#answers + 1] = 'taken'
  end
end
if replayed and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
return answers
