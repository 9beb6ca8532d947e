-- replay: put dead letters back on their queue, as new, with all attempts before them, and what they had saved.
--
-- KEYS  1 queue  2 dead  3 wake  4 events  5 checkpoint  6 the list of actions, where a payload is changed
-- ARGV  1 queue's name in events  2 entries of events to keep  3 how many values follow about a payload that is changed, 0
-- or: the payload before, the payload, its terms, actions to keep, and the fields and values of the action; then ids (one,
-- where a payload is changed)
-- Returns for each id 'replayed', 'absent' (no such letter), 'taken' (a live job holds the id), 'empty' (the
-- payload had expired before the job died: there is nothing to run), 'stopping' (other jobs of its flow are still being
-- stopped) or 'over' (its input went with its flow). Where the payload is to be changed also 'changed' (it is not the one
-- that it was) or 'input' (the job gets its arguments from its pipeline); then nothing was done. Or, where another job holds its unique key, one of these words and
-- the id of that job, by the rule of the key: 'existing' and 'held' (refuse, or it runs): the letter stays; 'replaced':
-- that job, which waits, has its payload now.
-- A sealed payload is bound to its id, and takes no other job's place: 'held'.
--
-- Keeps true: a job is a dead letter or a live one, never both. A letter of which a flow died revives the flow; one
-- that its flow has gone on without runs by itself. If a command fails, the letter is what it was. A payload is changed in
-- the same step, and the action written down.

local queue, dead, wake, events, checkpoint = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local queue_name, keep_events = ARGV[1], ARGV[2]
local extra = tonumber(ARGV[3])
local former, fixed, fixed_terms, keep_actions = unpack(ARGV, 4, 7)

--@include whole
--@include revive
--@include replacing
--@include sealed

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

-- Give a job what a letter had saved. A checkpoint counts only beside a counter.
local function keep_saved(id, saved)
  if not saved then return redis.call('DEL', 'arq:retry:' .. id) end
  redis.call('HSET', checkpoint, id, saved)
  redis.call('SET', 'arq:retry:' .. id, '0')
end

-- Put a letter's job back, and return whether it may run again.
local function bring_back(id, cause, payload, task, former_terms, saved)
  local as, flow, terms = place_in_flow(former_terms or '')
  if as == 'stopping' or as == 'over' then return as end
  redis.call('ZREM', dead, id)
  -- Reviving the flow may have put the job already.
  if put(queue, id, payload, now, 0, terms) then
    if flow then redis.call('HINCRBY', flow.key, 'open', 1) end
    keep_saved(id, saved)
    tell('enqueued', queue_name, id, task, 0, now, { reason = 'replayed' }, nil, payload, terms)
  end
  discard_letter(queue, id, cause)
  return 'replayed'
end

-- Let a letter take the place of the job that holds its unique key, if the rule says so and that job waits still.
local function stand_in(id, cause, holder, payload, task, terms, saved)
  local unique, rule, period = unique_of(terms)
  if rule == 'existing' then return { rule, holder } end
  local due = rule ~= 'refuse' and not is_sealed(payload) and replace(queue, holder, payload, now, false, terms, unique, period)
  if not due then return { 'held', holder } end
  redis.call('ZREM', dead, id)
  keep_saved(holder, saved)
  tell('enqueued', queue_name, holder, task, 0, due, { reason = 'replaced' }, nil, payload, terms)
  discard_letter(queue, id, cause)
  return { 'replaced', holder }
end

-- Tell whether a job with these terms is a stage of a pipeline, which gives it its arguments.
local function has_given_input(terms)
  local member = term(terms, 'w')
  if not member then return false end
  local flow, stage = flow_of(member)
  return flow and flow.kind ~= 'batch' and plan_of(flow, stage).kind == 'job'
end

local function has_other_type(letter)
  local problem = redis.pcall('HLEN', letter)
  return type(problem) == 'table' and string.find(tostring(problem.err), 'WRONGTYPE', 1, true)
end

local function replay(id)
  local letter = dead .. ':' .. id
  local found = redis.pcall('HMGET', letter, 'payload', 'task', 'terms', 'checkpoint', 'cause')
  if found.err and has_other_type(letter) then return 'empty' end
  if found.err then raise(found) end
  local payload, task, terms, saved, cause = unpack(found)
  if redis.call('EXISTS', letter) == 0 then
    redis.call('ZREM', dead, id)
    return 'absent'
  end
  if not payload then return 'empty' end
  if extra > 0 then
    if payload ~= former then return 'changed' end
    if has_given_input(terms or '') then return 'input' end
    payload, terms = fixed, fixed_terms
  end
  if redis.call('EXISTS', 'arq:job:' .. id) == 1 then return 'taken' end
  local unique, _, period = unique_of(terms or '')
  local holder = unique and holder_of(queue, unique, period)
  if holder and holder ~= id then return stand_in(id, cause, holder, payload, task, terms, saved) end
  if unique then hold(unique, id, period) end
  return bring_back(id, cause, payload, task, terms, saved)
end

local answers, replayed = {}, false
local is_done, problem = pcall(function()
  for i = 4 + extra, #ARGV do
    local answer = whole(replay, ARGV[i])
    replayed = replayed or answer == 'replayed' or answer[1] == 'replaced'
    answers[#answers + 1] = answer
  end
  if replayed and extra > 0 then
    redis.call('XADD', KEYS[6], 'MAXLEN', keep_actions, '*', unpack(ARGV, 8, 3 + extra))
  end
end)
write_events()
if not is_done then raise(problem) end
pcall(function()
  wake_others()
  if replayed and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
end)
return answers
