-- replay: put dead letters back on their queue, as new, with all attempts before them, and what they had saved.
--
-- KEYS  1 queue  2 dead  3 wake  4 events  5 checkpoint
-- ARGV  1 queue's name in events  2 events to keep; then ids
-- Returns for each id 'replayed', 'absent' (no such letter), 'taken' (a live job holds the id), 'empty' (the
-- payload had expired before the job died: there is nothing to run), 'stopping' (other jobs of its flow are still being
-- stopped) or 'over' (its input went with its flow).
--
-- A letter that ended a flow takes it up again; one that its flow has gone on without runs by itself.

--@include now
--@include terms
--@include put
--@include withdraw
local queue, dead, wake, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local answers, replayed = {}, false
local keep_events = ARGV[2]
--@include flow

local function joining(terms)
  local token = term(terms, 'w')
  if not token then return 'alone', nil, terms end
  local as, flow = rejoin(token)
  if as == 'member' then return as, flow, terms end
  if as == 'alone' and term(terms, 'i') then return 'over' end
  return as, nil, (string.gsub(string.gsub(terms, ' ?w=%S+', ''), '^ ', ''))
end

local function bring_back(id, letter, fields)
  local as, flow, terms = joining(fields[3] or '')
  if as == 'stopping' or as == 'over' then return as end
  redis.call('DEL', 'arq:retry:' .. id, letter)
  redis.call('ZREM', dead, id)
  -- What took its flow up again may have put it already.
  if put(queue, id, fields[1], now, 0, terms) then
    if flow then redis.call('HINCRBY', flow.key, 'open', 1) end
    if fields[4] then
      redis.call('HSET', KEYS[5], id, fields[4])
      redis.call('SET', 'arq:retry:' .. id, '0') -- a checkpoint counts only beside a counter
    end
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[2], '*', 'type', 'enqueued', 'queue', ARGV[1], 'id', id,
      'task', fields[2] or '', 'due', now_ms, 'payload', fields[1], 'reason', 'replayed')
  end
  return 'replayed'
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local letter = dead .. ':' .. id
  local fields = redis.call('HMGET', letter, 'payload', 'task', 'terms', 'checkpoint')
  if redis.call('EXISTS', letter) == 0 then
    redis.call('ZREM', dead, id)
    answers[#answers + 1] = 'absent'
  elseif not fields[1] then
    answers[#answers + 1] = 'empty'
  elseif redis.call('EXISTS', 'arq:job:' .. id) == 1 then
    answers[#answers + 1] = 'taken'
  else
    answers[#answers + 1] = bring_back(id, letter, fields)
    replayed = true
  end
end
for woke in pairs(woken) do wake_queue(woke) end
if replayed and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
return answers
