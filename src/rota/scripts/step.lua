-- step: settle what has finished, take back what was lost, claim what is due. One call, nothing in between.
--
-- KEYS  1 queue  2 active  3 runs  4 wake  5 seen  6 step (prefix)  7 dead  8 progress  9 events  10 solitude
--       11 checkpoint
-- ARGV  1 worker id   2 lane   3 sequence number of this step in its lane   4 resend: 1 after a lost reply
--       5 want: how many jobs to claim (<= 100)   6 lease, ms   7 service: 1 = events, dead letters, losses given back
--       8 events to keep   9 dead letters' retention, ms   10 queue's name in events
--       11 suspect: a job lost this often runs with no other beside it (0 = off)
--       12 alone: 1 = nothing runs in the worker's process: claim one suspect, and nothing else
--       13 the queue's rate: `<interval, us> <tolerance, us>` ('' = none)
--       14 how many settlements; then, for each settlement, 12 values:
--         id, token, kind (F finish | D dead letter | A again), delay in ms (A: until it is due, -1 = its old place
--         in the line; F: how long the in-progress mirror stays, as arq wants after a cron job),
--         unspent (A: 1 gives the attempt back), note (A: 1 = no worker here knows it, or the terms that it was
--         enqueued without; D: the reason),
--         record for arq:result ('' = none), its life in ms (0 = for ever),
--         event type, task, attempt, detail (result or error, JSON)
--       then, for each settlement with a checkpoint that is not written yet, its place among them and the checkpoint
--
-- Returns { now ms, ms until the next job is due (-1 = none), 1 if due jobs were left behind,
--           { for each settlement 1 = counted, 0 = stale, 2 = resent and already gone },
--           { for each claim { id, its run entry, payload or false, attempt, 1 if its cancel was asked for,
--             its terms ('' = none), its checkpoint or false, how often it has snoozed or false } },
--           1 if a suspect waits and this worker is the one that should make room for it }
--
-- Invariants: a job in `runs` with a token is in `active`, and in the queue at the same score (its deadline).
-- A settlement counts only with the token that its claim made. The first write is one that a full Redis allows,
-- so that finished work is recorded, and memory freed, even then. Payloads are moved, never parsed; only the fixed
-- head of an envelope is looked at, for the job's name.
--
-- A run entry is one string, `token due started lost unknown-since`. A token that begins with '-' is the memory of a job
-- that waits; behind the '-' is the worker that did not know it, and in place of `started` the time from which that
-- worker may claim it again: until then it is somebody else's turn. `-!` says that the job comes straight from a loss, and
-- the next claim says so with a '!' at the end of its token: whoever holds it took over what was lost, and nobody after
-- it did.

--@include now
--@include terms
--@include put
--@include withdraw
local JOB, RESULT, RETRY, HELD, ABORT = 'arq:job:', 'arq:result:', 'arq:retry:', 'arq:in-progress:', 'arq:abort'
local queue, active, runs, wake, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, progress, events = KEYS[7], KEYS[8], KEYS[9]
local worker, lane, seq, resend = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local want, lease, service = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local suspect, alone = ARGV[11], ARGV[12] == '1'
local checkpoint = KEYS[11]
local keep_events, retention, queue_name = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local snoozes = queue .. ':snoozes'
local step_key = KEYS[6] .. ':' .. worker .. ':' .. lane

-- In this time every idle worker has looked at the queue, ms.
local TURN = 3500

local deadline_ms = ms(now + lease)
-- What most queues have not, looked up when it is first asked for: those that have nothing of it pay for one question.
-- Whoever adds a part within the step sets it here.
local unfound -- how many of them there are that nobody has asked for yet
local has = setmetatable({}, {
  __index = function(known, part)
    unfound = unfound or redis.call('EXISTS', queue .. ':terms', checkpoint, snoozes, queue .. ':paused')
    known[part] = unfound > 0 and redis.call('EXISTS', queue .. ':' .. part) == 1
    if known[part] then unfound = unfound - 1 end
    return known[part]
  end,
})
--@include flow

local function parse(entry)
  local token, due, started, lost, unknown = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return token, tonumber(due) or 0, tonumber(started), tonumber(lost), tonumber(unknown)
end

local function format(token, due, started, lost, unknown)
  return token .. ' ' .. ms(due) .. ' ' .. ms(started) .. ' ' .. ms(lost) .. ' ' .. ms(unknown)
end

local function emit(...)
  if service then redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', ...) end
end

-- Lists are cut before they meet Lua's limit of values on the stack.
local function each_chunk(list, size, call)
  for from = 1, #list, size do call(unpack(list, from, math.min(from + size - 1, #list))) end
end

local function chunked(command, key, list)
  each_chunk(list, 1000, function(...) redis.call(command, key, ...) end)
end

---------------------------------------------------------------------------------------------------- settle

local function forget_checkpoints(ids)
  if service and has.checkpoint then chunked('HDEL', checkpoint, ids) end
end

local function bury(id, reason, task, attempt, error, saved)
  local letter = dead .. ':' .. id
  local payload = redis.call('MGET', JOB .. id)[1] -- MGET: a key of another type reads as absent
  redis.call('DEL', letter)
  redis.call('HSET', letter, 'reason', reason, 'task', task, 'attempt', attempt, 'error', error, 'at', now_ms)
  if payload then redis.call('HSET', letter, 'payload', payload) end
  local terms = has.terms and terms_of(queue, id)
  if terms then redis.call('HSET', letter, 'terms', terms) end
  saved = saved or service and has.checkpoint and redis.call('HGET', checkpoint, id)
  if saved then redis.call('HSET', letter, 'checkpoint', saved) end
  redis.call('PEXPIRE', letter, ms(retention))
  redis.call('ZADD', dead, now_ms, id)
  local expired = redis.call('ZRANGEBYSCORE', dead, '-inf', ms(now - retention), 'LIMIT', 0, 100)
  if #expired > 0 then redis.call('ZREM', dead, unpack(expired)) end
end

-- For the arithmetic of scaling: executions that ended, and how long they kept their slots. One that no worker here knows
-- kept none. The key is of use to nobody else, and may be of any type.
local function tally(jobs)
  local ended, busy = 0, 0
  for _, job in ipairs(jobs) do
    if ARGV[job.at + 6] ~= '1' or job.kind ~= 'A' then
      local started = tonumber(string.match(job.entry, '^%S+ %S+ (%S+)')) or now
      ended, busy = ended + 1, busy + math.max(0, now - started)
    end
  end
  return ended, busy
end

local function add_to_stats(finished, released)
  local ended, busy = tally(finished)
  local others, time_of_others = tally(released)
  if not service or ended + others == 0 then return end
  redis.pcall('HINCRBY', queue .. ':stats', 'ended', ended + others)
  redis.pcall('HINCRBY', queue .. ':stats', 'busy', ms(busy + time_of_others))
end

local handed_back = false -- something that was settled is due again, soon

local function settle()
  local count, answers, base = tonumber(ARGV[14]), {}, 14
  if count == 0 then return answers end
  local ids = {}
  for i = 1, count do ids[i] = ARGV[base + (i - 1) * 12 + 1] end
  local entries = redis.call('HMGET', runs, unpack(ids))
  local saved = {}
  for at = base + count * 12 + 1, #ARGV - 1, 2 do saved[tonumber(ARGV[at])] = ARGV[at + 1] end

  local finished, released, mirrors, counted = {}, {}, {}, {}
  for i = 1, count do
    local at, id, entry = base + (i - 1) * 12, ids[i], entries[i]
    local token = ARGV[at + 2] .. ' '
    if not entry or counted[id] or string.sub(entry, 1, #token) ~= token then
      answers[i] = (resend and not entry) and 2 or 0
    else
      answers[i] = 1
      counted[id] = true
      local kind = ARGV[at + 3]
      local list = kind == 'A' and released or finished
      list[#list + 1] = { id = id, at = at, kind = kind, entry = entry, saved = saved[i] }
    end
  end

  if #finished > 0 then
    local gone, keys = {}, {}
    for i, job in ipairs(finished) do
      gone[i] = job.id
    end
    chunked('ZREM', queue, gone)
    chunked('ZREM', active, gone)
    chunked('HDEL', runs, gone)
    chunked('ZREM', ABORT, gone)
    if service then
      chunked('HDEL', progress, gone)
      if has.snoozes then chunked('HDEL', snoozes, gone) end
    end
    for _, job in ipairs(finished) do
      local at = job.at
      local note, record, life, mirror = ARGV[at + 6], ARGV[at + 7], tonumber(ARGV[at + 8]), tonumber(ARGV[at + 4])
      local event, task, attempt, detail = ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12]
      if job.kind == 'D' then bury(job.id, note, task, attempt, detail, job.saved) end
      if record ~= '' then
        if life > 0 then redis.call('SET', RESULT .. job.id, record, 'PX', ARGV[at + 8])
        else redis.call('SET', RESULT .. job.id, record) end
      end
      if mirror > 0 then mirrors[#mirrors + 1] = { HELD .. job.id, mirror } end
      keys[#keys + 1] = HELD .. job.id
      keys[#keys + 1] = RETRY .. job.id
      keys[#keys + 1] = JOB .. job.id
      if note == '' then
        emit('type', event, 'queue', queue_name, 'id', job.id, 'task', task, 'attempt', attempt, 'detail', detail)
      else
        emit('type', event, 'queue', queue_name, 'id', job.id, 'task', task, 'attempt', attempt, 'detail', detail,
          'reason', note)
      end
    end
    forget_checkpoints(gone)
    each_chunk(keys, 1000, function(...) redis.call('DEL', ...) end)
    for _, job in ipairs(has.terms and finished or {}) do
      local terms = terms_of(queue, job.id)
      if terms then
        forget_terms(queue, job.id, terms)
        tell_end(terms, ARGV[job.at + 9], ARGV[job.at + 12], job.id)
      end
    end
    for _, mirror in ipairs(mirrors) do redis.call('SET', mirror[1], '1', 'PX', ms(mirror[2])) end
  end

  for _, job in ipairs(released) do
    local at, id = job.at, job.id
    local delay, unspent, unknown = tonumber(ARGV[at + 4]), ARGV[at + 5] == '1', ARGV[at + 6] == '1'
    if string.find(ARGV[at + 6], '=', 1, true) then
      redis.call('HSET', queue .. ':terms', id, ARGV[at + 6])
      has.terms = true
    end
    local _, old_due, _, lost, unknown_since = parse(job.entry)
    redis.call('ZREM', active, id)
    redis.call('DEL', HELD .. id)
    local due = delay < 0 and old_due or now + delay
    -- Its cancel was asked for, and it did not hear: whoever claims it now ends it, and nobody waits for that.
    if service and due > now and redis.call('ZSCORE', ABORT, id) then due = now end
    if due - now < TURN then handed_back = true end
    local since = 0
    if unknown then since = unknown_since > 0 and unknown_since or now end
    local still_there = redis.call('ZADD', queue, 'XX', 'CH', ms(due), id) == 1 or redis.call('ZSCORE', queue, id)
    if still_there and (lost > 0 or since > 0) then
      local stranger = unknown and '-' .. worker or '-'
      redis.call('HSET', runs, id, format(stranger, due, unknown and due + TURN or 0, lost, since))
    else
      redis.call('HDEL', runs, id)
    end
    if service then redis.call('HDEL', progress, id) end
    local terms = has.terms and terms_of(queue, id)
    if terms then
      free_slot(queue, id, terms)
      if still_there then index(queue, id, due, terms) else forget_terms(queue, id, terms) end
    end
    if not still_there then
      forget_checkpoints({ id })
    elseif job.saved then
      redis.call('HSET', checkpoint, id, job.saved)
      has.checkpoint = true
    end
    if not still_there then
      redis.call('DEL', RETRY .. id)
      redis.call('ZREM', ABORT, id)
      if has.snoozes then redis.call('HDEL', snoozes, id) end
    elseif unspent then
      redis.call('DECR', RETRY .. id)
    elseif ARGV[at + 11] ~= '0' then
      redis.call('SET', RETRY .. id, ARGV[at + 11]) -- a client may have asked to start at a later try
    end
    if ARGV[at + 9] == 'snoozed' and still_there then
      redis.call('HINCRBY', snoozes, id, 1)
      has.snoozes = true
    end
    if ARGV[at + 9] ~= '' then
      emit('type', ARGV[at + 9], 'queue', queue_name, 'id', id, 'task', ARGV[at + 10], 'attempt', ARGV[at + 11],
        'detail', ARGV[at + 12], 'due', ms(due))
    end
  end
  add_to_stats(finished, released)
  return answers
end

---------------------------------------------------------------------------------------------------- reap

-- A Redis that stood still makes every lease look expired at once. Whoever wakes it first gives all of them one
-- more lease, in which their owners renew.
local function forgive()
  while true do
    local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. now_ms, 'LIMIT', 0, 500)
    if #ids == 0 then return end
    local entries, scores = redis.call('HMGET', runs, unpack(ids)), {}
    for i, id in ipairs(ids) do
      scores[#scores + 1] = deadline_ms
      scores[#scores + 1] = id
      if entries[i] then redis.call('SET', HELD .. id, (parse(entries[i])), 'PX', ms(lease), 'NX') end
    end
    redis.call('ZADD', active, unpack(scores))
    redis.call('ZADD', queue, 'XX', unpack(scores))
  end
end

-- An expired claim goes back to its old place. What a stock worker has taken over or finished is only forgotten.
local function reap()
  local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. now_ms, 'LIMIT', 0, 100)
  if #ids == 0 then return end
  local entries = redis.call('HMGET', runs, unpack(ids))
  redis.call('ZREM', active, unpack(ids))
  for i, id in ipairs(ids) do
    local token, due, started, lost, unknown
    if entries[i] then token, due, started, lost, unknown = parse(entries[i]) end
    local holder = redis.pcall('GET', HELD .. id)
    local taken = type(holder) == 'string' and holder ~= token
    local terms = has.terms and terms_of(queue, id)
    if terms then free_slot(queue, id, terms) end
    if not token or string.sub(token, 1, 1) == '-' or taken or not redis.call('ZSCORE', queue, id) then
      redis.call('HDEL', runs, id)
      if not redis.call('ZSCORE', queue, id) then forget_checkpoints({ id }) end
      if service and has.snoozes then redis.call('HDEL', snoozes, id) end
    else
      redis.call('DEL', HELD .. id)
      redis.call('ZADD', queue, ms(due), id)
      index(queue, id, due, terms)
      redis.call('HSET', runs, id, format('-!', due, 0, lost + 1, unknown))
      if service then redis.pcall('DECR', RETRY .. id) end
      emit('type', 'lost', 'queue', queue_name, 'id', id, 'task', '', 'attempt', '0', 'detail', token)
    end
  end
end

---------------------------------------------------------------------------------------------------- claim

local function prefixed(key, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = key .. id end
  return keys
end

local suspect_waits = false

-- A job that was lost often may be what kills its workers. It runs alone, so that its neighbours are not lost with it
-- each time. True if it is not to be claimed by this step.
local function set_apart(rest)
  local suspected = suspect ~= '0' and string.match(rest, '^ (%S+)') == suspect
  if suspected and not alone then suspect_waits = true end
  return suspected ~= alone
end

-- A worker that does not know a job must not win it again and again beside one that does.
local function others_turn(entry)
  local stranger, _, again_at = parse(entry)
  return stranger == '-' .. worker and now < again_at
end

-- The jobs of a queue with a rate that may be claimed now, at most `want`; and when the next one may, us.
local function tokens()
  local interval, tolerance = string.match(ARGV[13], '^(%d+) (%d+)$')
  if not interval then return want end
  local rate = { interval = tonumber(interval), tolerance = tonumber(tolerance) }
  rate.state = queue .. ':limit'
  rate.tat = sane(rate, redis.call('GET', rate.state))
  local free = 0
  while free < want and opens(rate, free) <= now_us do free = free + 1 end
  return free, rate
end

-- While the queue's rate is closed, one worker waits for it: `full` says that this one may have no slot left then. It
-- lets another one do so.
local function pace(rate, full)
  local left = math.ceil((opens(rate, 0) - now_us) / 1000)
  local pacer = queue .. ':pacer'
  if full then
    redis.call('DEL', pacer)
    if redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end
    return left
  end
  redis.call('SET', pacer, worker, 'NX', 'PX', left + 500)
  if redis.call('GET', pacer) ~= worker then return -1 end
  redis.call('PEXPIRE', pacer, left + 500)
  return left
end

local MOST_LOOKED_AT = 1000
local expired = false -- more leases have ended than one step takes back

-- Due jobs that nobody holds, in the order of `source`, added to `found` until these are `most`; and whether one more is
-- due behind them.
local function find(source, found, most)
  local offset, looked_at = 0, 0
  while looked_at < MOST_LOOKED_AT do
    local size = looked_at > 0 and 100 or most - #found + 1
    local due_jobs = redis.call('ZRANGEBYSCORE', source, '-inf', now_ms, 'WITHSCORES', 'LIMIT', offset, size)
    if #due_jobs == 0 then return false end
    local page, dues = {}, {}
    for i = 1, #due_jobs, 2 do
      page[#page + 1] = due_jobs[i]
      dues[#dues + 1] = due_jobs[i + 1]
    end
    local entries = redis.call('HMGET', runs, unpack(page))
    local held = redis.call('MGET', unpack(prefixed(HELD, page)))
    local scores = source ~= queue and redis.call('ZMSCORE', queue, unpack(page))
    local terms = has.terms and redis.call('HMGET', queue .. ':terms', unpack(page)) or {}
    looked_at = looked_at + #page
    for i, id in ipairs(page) do
      local entry = entries[i]
      local memory = entry and string.sub(entry, 1, 1) == '-'
      local deadline = entry and not memory and redis.call('ZSCORE', active, id)
      if scores and not scores[i] then
        redis.call('ZREM', source, id) -- an index may hold what has left the queue
        offset = offset - 1
      elseif scores and tonumber(scores[i]) > now then
        redis.call('ZADD', source, scores[i], id) -- or stands elsewhere in it
        offset = offset - 1
      elseif deadline and tonumber(deadline) > now then
        redis.call('ZADD', queue, deadline, id) -- somebody re-scored a claimed job (stock Job.abort does)
        offset = offset - 1
      elseif deadline then
        expired = true
      elseif not held[i] and not found[id] then
        local rest = ' 0 0'
        if entry then rest = string.match(entry, '( %S+ %S+)$') end
        if not set_apart(rest) and not (memory and others_turn(entry)) then
          if #found == most then return true end
          local limited = terms[i] and string.find(terms[i], '[rc]=')
          local due = limited and place_of(queue, id, terms[i]) or tonumber(dues[i])
          -- One that is to be cancelled needs no turn, and takes none.
          local aborted = limited and redis.call('ZSCORE', ABORT, id)
          if limited and not aborted and not may_start(queue, id, due, terms[i]) then
            offset = offset - 1
          else
            if aborted then leave(queue, id, terms[i]) elseif terms[i] then start(queue, id, terms[i]) end
            found[#found + 1] = { id = id, due = limited and ms(due) or dues[i], rest = rest, terms = terms[i] or '',
              mark = memory and string.sub(entry, 2, 2) == '!' and '!' or '' }
            found[id] = true
          end
        end
      end
    end
    offset = offset + #page
    if #page < size then return false end
  end
  return false
end

-- Of what may be claimed, every fifth goes to the oldest whatever its priority, so that none waits for ever.
local function choose(most)
  local found = {}
  -- A priority is one of the terms.
  local levels = has.terms and redis.call('HGETALL', queue .. ':levels') or {}
  if #levels > 0 then
    local turn, old, names = 0, 0, {}
    for i = 1, #levels, 2 do
      if levels[i] == 'turn' then turn = tonumber(levels[i + 1]) else names[#names + 1] = levels[i] end
    end
    for i = 1, most do
      if (turn + i) % 5 == 0 then old = old + 1 end
    end
    redis.call('HSET', queue .. ':levels', 'turn', (turn + most) % 5)
    table.sort(names, function(one, other) return one > other end)
    if old > 0 then find(queue, found, old) end
    for _, name in ipairs(names) do
      if #found < most then find(queue .. ':p' .. name, found, most) end
      drop_level(queue, name)
    end
  end
  -- Who was sent back to wait may have made room for others, which are due since long.
  local left
  for _ = 1, 3 do
    woken[queue] = nil
    left = find(queue, found, most)
    if not woken[queue] or #found == most then break end
  end
  return found, left or expired or woken[queue] == true
end

-- Of a job of ours, where its head says its name; of a stock client's, wherever its serializer wrote it.
local function tell_started(id, payload, attempt, job)
  local task = payload and string.match(payload, '^{"v":1,"f":"([^"]*)"')
  if task or not payload then
    emit('type', 'started', 'queue', queue_name, 'id', id, 'task', task or '', 'attempt', attempt, 'worker', worker,
      'due', job.due)
    return
  end
  -- A stock client's payload expires; a job that we have seen must not. So this tells, too, whether we see it first.
  local first = redis.call('PERSIST', JOB .. id) == 1 or attempt == 1 and job.rest == ' 0 0'
  task = string.match(string.sub(payload, 1, 200), '"f":"([^"]*)"') or ''
  if first then
    emit('type', 'started', 'queue', queue_name, 'id', id, 'task', task, 'attempt', attempt, 'worker', worker,
      'due', job.due, 'payload', payload)
  else
    emit('type', 'started', 'queue', queue_name, 'id', id, 'task', task, 'attempt', attempt, 'worker', worker,
      'due', job.due)
  end
end

-- What is left of a job that others finished (a stock worker has no word for it) is not for the next one of its id:
-- that is told from a job that has run before by the missing counter.
local function saved_by(id, count, saved)
  if not saved or count then return saved end
  redis.call('HDEL', checkpoint, id)
  return false
end

local function claim(found)
  local ids, deadlines, fence = {}, {}, {}
  local token = worker .. ':' .. lane .. ':' .. ARGV[3] .. ':'
  for i, job in ipairs(found) do
    ids[i] = job.id
    job.token = token .. i .. job.mark
    job.entry = job.token .. ' ' .. job.due .. ' ' .. now_ms .. job.rest
    deadlines[2 * i - 1], deadlines[2 * i] = deadline_ms, job.id
    fence[2 * i - 1], fence[2 * i] = job.id, job.entry
  end
  redis.call('ZADD', queue, unpack(deadlines))
  redis.call('ZADD', active, unpack(deadlines))
  redis.call('HSET', runs, unpack(fence))
  local payloads = redis.call('MGET', unpack(prefixed(JOB, ids)))
  local counters = prefixed(RETRY, ids)
  local counts, counted = redis.call('MGET', unpack(counters)), {}
  local aborts = redis.call('ZMSCORE', ABORT, unpack(ids))
  local saved = service and has.checkpoint and redis.call('HMGET', checkpoint, unpack(ids)) or {}
  local put_off = service and has.snoozes and redis.call('HMGET', snoozes, unpack(ids)) or {}
  local claims = {}
  for i, job in ipairs(found) do
    local id, payload = job.id, payloads[i]
    redis.call('SET', HELD .. id, job.token, 'PX', ARGV[6])
    local attempt = (tonumber(counts[i] or nil) or 0) + 1
    counted[2 * i - 1], counted[2 * i] = counters[i], attempt
    if service then tell_started(id, payload, attempt, job) end
    local checkpoint_of = saved_by(id, counts[i], saved[i])
    claims[i] = { id, job.entry, payload, attempt, aborts[i] and 1 or 0, job.terms, checkpoint_of or false,
      put_off[i] or false }
  end
  redis.call('MSET', unpack(counted))
  return claims
end

-- The reply to this step was lost: what it claimed is still ours, by the step's number in the tokens. It is handed over
-- only now, and so with a whole lease.
local function claimed_before()
  local claims, prefix = {}, worker .. ':' .. lane .. ':' .. ARGV[3] .. ':'
  local ids = redis.call('ZRANGE', active, 0, -1)
  for from = 1, #ids, 500 do
    local page = { unpack(ids, from, math.min(from + 499, #ids)) }
    local entries = redis.call('HMGET', runs, unpack(page))
    for i, id in ipairs(page) do
      if entries[i] and string.sub(entries[i], 1, #prefix) == prefix then
        local attempt = tonumber(redis.call('GET', RETRY .. id)) or 1
        local payload = redis.call('MGET', JOB .. id)[1]
        redis.call('ZADD', active, deadline_ms, id)
        redis.call('ZADD', queue, 'XX', deadline_ms, id)
        redis.call('SET', HELD .. id, string.match(entries[i], '^%S+'), 'PX', ARGV[6])
        local aborted = redis.call('ZSCORE', ABORT, id) and 1 or 0
        local saved = service and has.checkpoint and redis.call('HGET', checkpoint, id)
        claims[#claims + 1] = { id, entries[i], payload, attempt, aborted, terms_of(queue, id) or '', saved or false,
          has.snoozes and redis.call('HGET', snoozes, id) or false }
      end
    end
  end
  return claims
end

---------------------------------------------------------------------------------------------------- the step

local answers = settle()
local last = resend and redis.call('GET', step_key)
if resend and (not last or tonumber(last) < seq) then
  redis.call('SET', step_key, ARGV[3], 'PX', ms(lease * 4))
end

handed_back = handed_back or woken[queue]
local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
if #head == 0 then
  if #answers > 0 then redis.call('DEL', seen) end
  wake_others(queue)
  return { now, -1, 0, answers, {}, 0 }
end
local last_seen = tonumber(redis.call('SET', seen, now_ms, 'PX', ms(lease * 4), 'GET') or nil)
if not last_seen or now - last_seen > lease / 2 then forgive() end
local claims, left, closed_until = {}, false, nil
if resend and last and tonumber(last) == seq then
  claims = claimed_before()
elseif want > 0 and tonumber(head[2]) <= now and not has.paused then
  reap()
  if not resend then last = redis.call('GET', step_key) end
  local newest = tonumber(last or 0)
  if newest == seq then
    claims = claimed_before()
  elseif newest < seq then
    local found
    local free, rate = tokens()
    found, left = choose(free)
    if #found > 0 then
      if rate then
        for _ = 1, #found do take_token(rate) end
      end
      claims = claim(found)
      redis.call('SET', step_key, ARGV[3], 'PX', ms(lease * 4))
    end
    if left and rate and opens(rate, 0) > now_us then left, closed_until = false, pace(rate, #found == want) end
  end
end
wake_others(queue)
handed_back = handed_back or woken[queue]
if (left or (handed_back and want == 0 and not has.paused)) and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end

local make_room = 0
if suspect_waits then
  -- One worker is enough: the others go on.
  redis.call('SET', KEYS[10], worker, 'NX', 'PX', ms(lease))
  if redis.call('GET', KEYS[10]) == worker then make_room = 1 end
end

local upcoming = -1
if closed_until then
  upcoming = closed_until
elseif tonumber(head[2]) > now then
  upcoming = math.ceil(tonumber(head[2]) - now)
elseif has.paused then
  upcoming = -1
elseif not left then
  local next_job = redis.call('ZRANGEBYSCORE', queue, '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #next_job > 0 then upcoming = math.ceil(tonumber(next_job[2]) - now) end
end
return { now, upcoming, left and 1 or 0, answers, claims, make_room }
