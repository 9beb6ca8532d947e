---------------------------------------------------------------------------------------------------- settle
-- A step's settlements: how claims ended. Jobs that are over leave Redis but for their record and their dead letter;
-- jobs that go again are put back into the line. Expects what step.lua says of its call.
--
-- In ARGV every settlement has these: id, token, kind ('finished', 'dead' or 'again'), event type, task, attempt,
-- detail (result or error, JSON), record for arq:result ('' = none), its life in ms (0 = for ever). Some have more, by
-- name:
--   reason      why the job died or was cancelled
--   mirror_ms   finished: how long the in-progress mirror stays, as arq wants after a cron job
--   delay_ms    again: until the job is due; without it the job has its old place in the line
--   unspent     again: the attempt is given back
--   unknown     again: no worker here knows the job
--   terms       again: those that the job was enqueued without
--   checkpoint  dead, again: one that is not written yet
--   failure     again: the error of an attempt that will be repeated, JSON without a newline

--@include brief
--@include chunks
--@include entries
--@include limits

-- The most that is kept of the errors of one job's attempts, bytes.
local MOST_OF_FAILURES = 8000
-- In a second in which this many jobs are due no more are put back, if one of the next FARTHEST seconds has room.
local HERD, FARTHEST = 1000, 60
-- Multiples of the golden ratio lie evenly between whole numbers, however many there are.
local GOLDEN = 0.6180339887

local rooms = {} -- by second: where jobs go that are to be due within it
local handed_back = false -- a job that was settled is due again, soon

local function read_settlements()
  local list, at = {}, FIRST_SETTLEMENT
  for i = 1, tonumber(settlement_count) do
    list[i] = { id = ARGV[at], token = ARGV[at + 1], kind = ARGV[at + 2], event = ARGV[at + 3], task = ARGV[at + 4],
      attempt = ARGV[at + 5], detail = ARGV[at + 6], record = ARGV[at + 7], record_ms = ARGV[at + 8] }
    at = at + 9
  end
  for extra = at, #ARGV, 3 do list[tonumber(ARGV[extra])][ARGV[extra + 1]] = ARGV[extra + 2] end
  return list
end

-- Return the answer to each settlement; and of those that count, the ones whose jobs are over, and the ones whose jobs
-- go again.
local function judge(settlements)
  local answers, finished, released, counted, ids = {}, {}, {}, {}, {}
  for i, job in ipairs(settlements) do ids[i] = job.id end
  local entries = redis.call('HMGET', runs, unpack(ids))
  for i, job in ipairs(settlements) do
    local entry, token = entries[i], job.token .. ' '
    if not entry or counted[job.id] or string.sub(entry, 1, #token) ~= token then
      answers[i] = (resend and not entry) and 2 or 0
    else
      answers[i] = 1
      counted[job.id] = true
      job.entry = entry
      local list = job.kind == 'again' and released or finished
      list[#list + 1] = job
    end
  end
  return answers, finished, released
end

local function forget_checkpoints(ids)
  if service and has.checkpoint then chunked('HDEL', checkpoint, ids) end
end

-- Nothing else depends on the errors of attempts: where their key is of another type, the jobs go on all the same.
local function forget_failures(ids)
  if service and has.attempts then pcall(chunked, 'HDEL', attempts, ids) end
end

---------------------------------------------------------------------------------------------------- over

-- Keep a dead job as a dead letter, and strike letters that have expired off the list.
local function bury(job)
  local id, letter = job.id, dead .. ':' .. job.id
  local payload = redis.call('MGET', JOB .. id)[1] -- MGET: a key of another type reads as absent
  -- A step that failed on the way has written this letter, and may have deleted the payload since.
  if payload or not resend then redis.call('DEL', letter) end
  redis.call('HSET', letter, 'reason', job.reason or '', 'task', job.task, 'attempt', job.attempt, 'error', job.detail,
    'at', now_ms)
  if payload then redis.call('HSET', letter, 'payload', payload) end
  local terms = has.terms and terms_of(queue, id)
  if terms then redis.call('HSET', letter, 'terms', terms) end
  local saved = job.checkpoint or service and has.checkpoint and redis.call('HGET', checkpoint, id)
  if saved then redis.call('HSET', letter, 'checkpoint', saved) end
  local failures = service and has.attempts and redis.pcall('HGET', attempts, id)
  if type(failures) == 'string' then redis.call('HSET', letter, 'attempts', failures) end
  redis.call('PEXPIRE', letter, ms(retention))
  redis.call('ZADD', dead, now_ms, id)
  local expired = redis.call('ZRANGEBYSCORE', dead, '-inf', ms(now - retention), 'LIMIT', 0, 100)
  if #expired > 0 then redis.call('ZREM', dead, unpack(expired)) end
end

local function keep_record(job)
  if job.record == '' then return end
  if tonumber(job.record_ms) > 0 then
    redis.call('SET', RESULT .. job.id, job.record, 'PX', job.record_ms)
  else
    redis.call('SET', RESULT .. job.id, job.record)
  end
end

local function tell_finished(job, ...)
  emit('type', job.event, 'queue', queue_name, 'id', job.id, 'task', job.task, 'attempt', job.attempt,
    'detail', job.event == 'completed' and '' or brief(job.detail), ...)
end

-- Give back what a job held by its limits, and tell its flow of its end. The terms, which say what is to be done, go
-- last.
local function let_go(job)
  local terms = terms_of(queue, job.id)
  if terms then
    give_back(queue, job.id, terms)
    tell_end(terms, job.event, job.detail, job.id)
    redis.call('HDEL', queue .. ':terms', job.id)
  end
end

-- Remove what a queue knows of jobs that are over, and last of all the fence.
local function forget_jobs(finished, gone)
  chunked('ZREM', queue, gone)
  local keys = {}
  for _, job in ipairs(finished) do
    local last = #keys
    keys[last + 1], keys[last + 2], keys[last + 3] = HELD .. job.id, RETRY .. job.id, JOB .. job.id
  end
  delete(keys)
  for _, job in ipairs(finished) do
    if job.mirror_ms then redis.call('SET', HELD .. job.id, '1', 'PX', job.mirror_ms) end
  end
  forget_checkpoints(gone)
  if service and has.snoozes then chunked('HDEL', snoozes, gone) end
  if has.terms then
    for _, job in ipairs(finished) do let_go(job) end
  end
  forget_failures(gone)
  chunked('ZREM', active, gone)
  chunked('HDEL', runs, gone)
end

-- Take jobs that are over out of Redis. What is there to tell is written before what it is read from is removed: if a
-- command fails on the way, the same step does it all once more.
local function conclude(finished)
  if #finished == 0 then return end
  local gone = {}
  for i, job in ipairs(finished) do gone[i] = job.id end
  -- First what can be missed, and what a full Redis allows.
  if service then chunked('HDEL', progress, gone) end
  chunked('ZREM', ABORT, gone)
  for _, job in ipairs(finished) do
    if job.kind == 'dead' then bury(job) end
    keep_record(job)
  end
  forget_jobs(finished, gone)
  for _, job in ipairs(finished) do
    if job.reason then tell_finished(job, 'reason', job.reason) else tell_finished(job) end
  end
end

---------------------------------------------------------------------------------------------------- again

local function due_within(second)
  return redis.call('ZCOUNT', queue, ms(second * 1000), '(' .. ms(second * 1000 + 1000))
end

-- Return a second from this one on that has room for another of these jobs; all that are looked at, if none has. Seconds
-- are filled one after the other, so that the first with room is found by halving.
local function room_from(second)
  local full, at, reach, last = second - 1, second, 1, second + FARTHEST - 1
  local taken = due_within(at)
  while taken >= HERD do
    if at == last then
      return { from = second * 1000, size = FARTHEST * 1000, taken = now % 100000, most = math.huge }
    end
    full, at, reach = at, math.min(last, at + reach), 2 * reach
    taken = due_within(at)
  end
  while at - full > 1 do
    local middle = math.floor((at + full) / 2)
    local there = due_within(middle)
    if there < HERD then at, taken = middle, there else full = middle end
  end
  return { is_own = at == second, from = at * 1000, size = 1000, taken = taken, most = HERD }
end

-- Return when a job is due that was to be due at `due`: later, if too many others are. Jobs that failed at one moment
-- would all come back at one moment, again and again.
local function spread(due)
  local second = math.floor(due / 1000)
  local room = rooms[second]
  if not room or room.taken >= room.most then
    room = room_from(second)
    rooms[second] = room
  end
  room.taken = room.taken + 1
  if room.is_own then return due end
  return room.from + math.floor(room.size * (room.taken * GOLDEN % 1))
end

-- Return when a job is due again.
local function due_again(job, old_due)
  local due = job.delay_ms and now + tonumber(job.delay_ms) or math.min(old_due, now)
  if due > now and (job.event == 'retried' or job.unknown) then due = spread(due) end
  -- A cancel was asked for and came too late for this attempt: the next claim ends the job, and nothing waits for that.
  if service and due > now and redis.call('ZSCORE', ABORT, job.id) then due = now end
  if due - now < TURN then handed_back = true end
  return due
end

-- Leave in the run entry what the next claim must know: how often the job was lost, and since when, and by which
-- worker, it was not known.
local function remember(job, due, lost, unknown_since)
  local since = 0
  if job.unknown then since = unknown_since > 0 and unknown_since or now end
  if lost > 0 or since > 0 then
    local stranger = job.unknown and '-' .. worker or '-'
    redis.call('HSET', runs, job.id, format(stranger, due, job.unknown and due + TURN or 0, lost, since))
  else
    redis.call('HDEL', runs, job.id)
  end
end

-- Keep the error of an attempt beside those before it, `attempt ms error` in a line each. The oldest go first, where
-- they take up too much. An attempt that is numbered 1 is the first of a new job of this id.
local function keep_failure(job)
  local line = job.attempt .. ' ' .. now_ms .. ' ' .. job.failure
  local before = job.attempt ~= '1' and has.attempts and redis.pcall('HGET', attempts, job.id)
  if type(before) ~= 'string' then before = false end
  -- A step that failed on the way has kept it.
  if before and string.match('\n' .. before, '\n(%S+)[^\n]*$') == job.attempt then return end
  while before and #before + #line > MOST_OF_FAILURES do before = string.match(before, '\n(.*)$') end
  redis.pcall('HSET', attempts, job.id, before and before .. '\n' .. line or line)
  has.attempts = true
end

-- Add to a counter that nothing else depends on, and begin at that where it holds no number.
local function count_up(key, field, amount)
  local answer = redis.pcall('HINCRBY', key, field, amount)
  if type(answer) == 'table' and string.find(tostring(answer.err), 'integer', 1, true) then
    redis.pcall('HSET', key, field, amount)
  end
end

-- Count down attempts, and count up snoozes. Either may count once at most, so this comes after the fence: what fails
-- here is not done again, and stops nothing else.
local function count_back(job)
  if job.unspent then redis.pcall('DECR', RETRY .. job.id) end
  if job.event == 'snoozed' then
    count_up(snoozes, job.id, 1)
    has.snoozes = true
  end
end

local function put_back(job, due, lost, unknown_since, terms)
  if terms then index_priority(queue, job.id, due, terms) end
  if job.checkpoint then
    redis.call('HSET', checkpoint, job.id, job.checkpoint)
    has.checkpoint = true
  end
  if not job.unspent and job.attempt ~= '0' then
    redis.call('SET', RETRY .. job.id, job.attempt) -- a stock client may have asked to start at a later try
  end
  if service and job.failure then keep_failure(job) end
  redis.call('ZREM', active, job.id)
  remember(job, due, lost, unknown_since)
  count_back(job)
end

-- Forget a job that left the queue while it ran: a stock worker finished it, or it was removed by hand.
local function forget_job(id, terms)
  if terms then forget_terms(queue, id, terms) end
  forget_checkpoints({ id })
  redis.call('DEL', RETRY .. id)
  redis.call('ZREM', ABORT, id)
  if has.snoozes then redis.call('HDEL', snoozes, id) end
  forget_failures({ id })
  redis.call('ZREM', active, id)
  redis.call('HDEL', runs, id)
end

-- Put a job back into the line. The fence goes last, as with a job that is over.
local function release(job)
  local id = job.id
  local _, old_due, _, lost, unknown_since = parse(job.entry)
  redis.call('DEL', HELD .. id)
  if job.terms then
    redis.call('HSET', queue .. ':terms', id, job.terms)
    has.terms = true
  end
  local due = due_again(job, old_due)
  local still_there = redis.call('ZADD', queue, 'XX', 'CH', ms(due), id) == 1 or redis.call('ZSCORE', queue, id)
  if service then redis.call('HDEL', progress, id) end
  local terms = has.terms and terms_of(queue, id)
  if terms then free_slot(queue, id, terms) end
  if still_there then put_back(job, due, lost, unknown_since, terms) else forget_job(id, terms) end
  if job.event ~= '' then
    emit('type', job.event, 'queue', queue_name, 'id', id, 'task', job.task, 'attempt', job.attempt,
      'detail', brief(job.detail), 'due', ms(due))
  end
end

---------------------------------------------------------------------------------------------------- both

-- Return how many executions ended, and for how long they kept their slots, ms: scaling is worked out from that. A job
-- that no worker here knows was not executed.
local function tally(jobs)
  local ended, busy = 0, 0
  for _, job in ipairs(jobs) do
    if not job.unknown then
      local started = figure(string.match(job.entry, '^%S+ %S+ (%S+)'))
      ended, busy = ended + 1, busy + (started > 0 and math.max(0, now - started) or 0)
    end
  end
  return ended, busy
end

local function add_to_stats(finished, released)
  local ended, busy = tally(finished)
  local others, time_of_others = tally(released)
  if not service or ended + others == 0 then return end
  -- Where this key is of another type, the settlements count all the same.
  count_up(queue .. ':stats', 'ended', ended + others)
  count_up(queue .. ':stats', 'busy', ms(busy + time_of_others))
end

local function settle()
  local settlements = read_settlements()
  if #settlements == 0 then return {} end
  local answers, finished, released = judge(settlements)
  conclude(finished)
  for _, job in ipairs(released) do release(job) end
  add_to_stats(finished, released)
  return answers
end
