-- replay: put dead letters back on their queue, as new, with all attempts before them, and what they had saved.
--
-- KEYS  1 queue  2 dead  3 wake  4 events  5 checkpoint
-- ARGV  1 queue's name in events  2 events to keep; then ids
-- Returns for each id 'replayed', 'absent' (no such letter), 'taken' (a live job holds the id), 'empty' (the
-- payload had expired before the job died: there is nothing to run), 'stopping' (other jobs of its flow are still being
-- stopped) or 'over' (its input went with its flow).
--
-- Keeps true: a job is a dead letter or a live one, never both. A letter of which a flow died revives the flow; one
-- that its flow has gone on without runs by itself.

local queue, dead, wake, events, checkpoint = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queue_name, keep_events = ARGV[1], ARGV[2]

--@include revive

-- Return what becomes of a letter with these terms (see `rejoin`, or 'over'); the flow it is a member of again, if any;
-- and the terms it is put with.
local function place_in_flow(terms)
  local member = term(terms, 'w')
  if not member then return 'alone', nil, terms end
  local as, flow = rejoin(member)
  if as == 'member' then return as, flow, terms end
  if as == 'alone' and term(terms, 'i') then return 'over' end
  return as, nil, (string.gsub(string.gsub(terms, ' ?w=%S+', ''), '^ ', ''))
end

local function bring_back(id, letter, payload, task, former_terms, saved)
  local as, flow, terms = place_in_flow(former_terms or '')
  if as == 'stopping' or as == 'over' then return as end
  redis.call('DEL', 'arq:retry:' .. id, letter)
  redis.call('ZREM', dead, id)
  -- Reviving the flow may have put the job already.
  if put(queue, id, payload, now, 0, terms) then
    if flow then redis.call('HINCRBY', flow.key, 'open', 1) end
    if saved then
      redis.call('HSET', checkpoint, id, saved)
      redis.call('SET', 'arq:retry:' .. id, '0') -- a checkpoint counts only beside a counter
    end
    redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', 'type', 'enqueued', 'queue', queue_name, 'id', id,
      'task', task or '', 'due', now_ms, 'reason', 'replayed')
  end
  return 'replayed'
end

local answers, replayed = {}, false
for i = 3, #ARGV do
  local id = ARGV[i]
  local letter = dead .. ':' .. id
  local payload, task, terms, saved = unpack(redis.call('HMGET', letter, 'payload', 'task', 'terms', 'checkpoint'))
  local answer
  if redis.call('EXISTS', letter) == 0 then
    redis.call('ZREM', dead, id)
    answer = 'absent'
  elseif not payload then
    answer = 'empty'
  elseif redis.call('EXISTS', 'arq:job:' .. id) == 1 then
    answer = 'taken'
  else
    answer = bring_back(id, letter, payload, task, terms, saved)
    replayed = true
  end
  answers[#answers + 1] = answer
end
wake_others()
if replayed and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
return answers
