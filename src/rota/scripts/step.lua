-- step: settle what has finished, take back what was lost, claim what is due. One call, nothing in between.
--
-- KEYS  1 queue  2 active  3 runs  4 wake  5 seen  6 step (prefix)  7 dead  8 progress  9 events
-- ARGV  1 worker id   2 lane   3 sequence number of this step in its lane   4 resend: 1 after a lost reply
--       5 want: how many jobs to claim (<= 100)   6 lease, ms   7 service: 1 = events, dead letters, losses given back
--       8 events to keep   9 dead letters' retention, ms   10 queue's name in events   11 how many settlements
--       then, for each settlement, 12 values:
--         id, token, kind (F finish | D dead letter | A again), delay in ms (A: until it is due, -1 = its old place
--         in the line; F: how long the in-progress mirror stays, as arq wants after a cron job),
--         unspent (A: 1 gives the attempt back), note (A: 1 = no worker here knows it; D: the reason),
--         record for arq:result ('' = none), its life in ms (0 = for ever),
--         event type, task, attempt, detail (result or error, JSON)
--
-- Returns { now ms, ms until the next job is due (-1 = none), 1 if due jobs were left behind,
--           { for each settlement 1 = counted, 0 = stale, 2 = resent and already gone },
--           { for each claim { id, token, payload or false, attempt, due, started, lost, unknown since, aborted } } }
--
-- Invariants: a job in `runs` with a token is in `active`, and in the queue at the same score (its deadline).
-- A settlement counts only with the token that its claim made. The first write is one that a full Redis allows,
-- so that finished work is recorded, and memory freed, even then. Payloads are moved, never parsed; only the fixed
-- head of an envelope is looked at, for the job's name.

local JOB, RESULT, RETRY, HELD, ABORT = 'arq:job:', 'arq:result:', 'arq:retry:', 'arq:in-progress:', 'arq:abort'
local queue, active, runs, wake, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, progress, events = KEYS[7], KEYS[8], KEYS[9]
local worker, lane, seq, resend = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local want, lease, service = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local keep_events, retention, queue_name = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local step_key = KEYS[6] .. ':' .. worker .. ':' .. lane

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ms(value) return string.format('%.0f', value) end

-- A run entry: token, due, started, lost, unknown since. A token of '-' is a memory of a job that waits.
local function parse(entry)
  local token, due, started, lost, unknown = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return token, tonumber(due), tonumber(started), tonumber(lost), tonumber(unknown)
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

local function bury(id, reason, task, attempt, error)
  local letter = dead .. ':' .. id
  local payload = redis.call('MGET', JOB .. id)[1] -- MGET: a key of another type reads as absent
  redis.call('DEL', letter)
  redis.call('HSET', letter, 'reason', reason, 'task', task, 'attempt', attempt, 'error', error, 'at', ms(now))
  if payload then redis.call('HSET', letter, 'payload', payload) end
  redis.call('PEXPIRE', letter, ms(retention))
  redis.call('ZADD', dead, ms(now), id)
  local expired = redis.call('ZRANGEBYSCORE', dead, '-inf', ms(now - retention), 'LIMIT', 0, 100)
  if #expired > 0 then redis.call('ZREM', dead, unpack(expired)) end
end

local function settle()
  local count, answers, base = tonumber(ARGV[11]), {}, 11
  if count == 0 then return answers end
  local ids = {}
  for i = 1, count do ids[i] = ARGV[base + (i - 1) * 12 + 1] end
  local entries = redis.call('HMGET', runs, unpack(ids))

  local finished, released, mirrors, counted = {}, {}, {}, {}
  for i = 1, count do
    local at = base + (i - 1) * 12
    local token, due, started, lost, unknown
    if entries[i] and not counted[ids[i]] then token, due, started, lost, unknown = parse(entries[i]) end
    if token ~= ARGV[at + 2] then
      answers[i] = (resend and not token) and 2 or 0
    else
      answers[i] = 1
      counted[ids[i]] = true
      local job = { id = ids[i], at = at, kind = ARGV[at + 3], due = due, lost = lost, unknown = unknown }
      if job.kind == 'A' then released[#released + 1] = job else finished[#finished + 1] = job end
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
    if service then chunked('HDEL', progress, gone) end
    for _, job in ipairs(finished) do
      local at = job.at
      local note, record, life, mirror = ARGV[at + 6], ARGV[at + 7], tonumber(ARGV[at + 8]), tonumber(ARGV[at + 4])
      local event, task, attempt, detail = ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12]
      if job.kind == 'D' then bury(job.id, note, task, attempt, detail) end
      if record ~= '' then
        if life > 0 then redis.call('SET', RESULT .. job.id, record, 'PX', ms(life))
        else redis.call('SET', RESULT .. job.id, record) end
      end
      if mirror > 0 then mirrors[#mirrors + 1] = { HELD .. job.id, mirror } end
      keys[#keys + 1] = HELD .. job.id
      keys[#keys + 1] = RETRY .. job.id
      keys[#keys + 1] = JOB .. job.id
      emit('type', event, 'queue', queue_name, 'id', job.id, 'task', task, 'attempt', attempt, 'detail', detail,
        'reason', note)
    end
    each_chunk(keys, 1000, function(...) redis.call('DEL', ...) end)
    for _, mirror in ipairs(mirrors) do redis.call('SET', mirror[1], '1', 'PX', ms(mirror[2])) end
  end

  for _, job in ipairs(released) do
    local at, id = job.at, job.id
    local delay, unspent, unknown = tonumber(ARGV[at + 4]), ARGV[at + 5] == '1', ARGV[at + 6] == '1'
    redis.call('ZREM', active, id)
    redis.call('DEL', HELD .. id)
    local due = delay < 0 and job.due or now + delay
    local since = 0
    if unknown then since = job.unknown > 0 and job.unknown or now end
    if redis.call('ZSCORE', queue, id) then redis.call('ZADD', queue, ms(due), id) end
    if job.lost > 0 or since > 0 then
      redis.call('HSET', runs, id, format('-', due, 0, job.lost, since))
    else
      redis.call('HDEL', runs, id)
    end
    if unspent then
      redis.call('DECR', RETRY .. id)
    elseif ARGV[at + 11] ~= '0' then
      redis.call('SET', RETRY .. id, ARGV[at + 11]) -- a client may have asked to start at a later try
    end
    if ARGV[at + 9] ~= '' then
      emit('type', ARGV[at + 9], 'queue', queue_name, 'id', id, 'task', ARGV[at + 10], 'attempt', ARGV[at + 11],
        'detail', ARGV[at + 12], 'due', ms(due))
    end
  end
  return answers
end

---------------------------------------------------------------------------------------------------- reap

-- A Redis that stood still makes every lease look expired at once. Whoever wakes it first gives all of them one
-- more lease, in which their owners renew.
local function forgive()
  while true do
    local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. ms(now), 'LIMIT', 0, 500)
    if #ids == 0 then return end
    local entries, scores = redis.call('HMGET', runs, unpack(ids)), {}
    for i, id in ipairs(ids) do
      scores[#scores + 1] = ms(now + lease)
      scores[#scores + 1] = id
      if entries[i] then redis.call('SET', HELD .. id, (parse(entries[i])), 'PX', ms(lease), 'NX') end
    end
    redis.call('ZADD', active, unpack(scores))
    redis.call('ZADD', queue, 'XX', unpack(scores))
  end
end

-- An expired claim goes back to its old place. What a stock worker has taken over or finished is only forgotten.
local function reap(last_seen)
  local ids = redis.call('ZRANGEBYSCORE', active, '-inf', '(' .. ms(now), 'LIMIT', 0, 100)
  if #ids == 0 then return end
  if not last_seen or now - last_seen > lease / 2 then return forgive() end
  local entries = redis.call('HMGET', runs, unpack(ids))
  redis.call('ZREM', active, unpack(ids))
  for i, id in ipairs(ids) do
    local token, due, started, lost, unknown
    if entries[i] then token, due, started, lost, unknown = parse(entries[i]) end
    local holder = redis.pcall('GET', HELD .. id)
    local taken = type(holder) == 'string' and holder ~= token
    if not token or token == '-' or taken or not redis.call('ZSCORE', queue, id) then
      redis.call('HDEL', runs, id)
    else
      redis.call('DEL', HELD .. id)
      redis.call('ZADD', queue, ms(due), id)
      redis.call('HSET', runs, id, format('-', due, 0, lost + 1, unknown))
      if service then redis.pcall('DECR', RETRY .. id) end
      emit('type', 'lost', 'queue', queue_name, 'id', id, 'task', '', 'attempt', '0', 'detail', token)
    end
  end
end

---------------------------------------------------------------------------------------------------- claim

local function task_of(payload)
  return payload and string.match(string.sub(payload, 1, 200), '"f":"([%w_:%.%-]+)"') or ''
end

local function describe(id, token, payload, attempt, due, started, lost, unknown, aborted)
  return { id, token, payload or false, attempt, ms(due), ms(started), lost, ms(unknown), aborted and 1 or 0 }
end

local function prefixed(key, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = key .. id end
  return keys
end

-- Due jobs that nobody holds, in order, at most `want`; and whether one more is due behind them.
local function find()
  local found, offset = {}, 0
  while offset < 1000 do
    local size = want - #found + 1
    if offset > 0 then size = 100 end
    local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', ms(now), 'WITHSCORES', 'LIMIT', offset, size)
    local page = {}
    for i = 1, #ids, 2 do page[#page + 1] = ids[i] end
    if #page == 0 then return found, false end
    local entries = redis.call('HMGET', runs, unpack(page))
    local held = redis.call('MGET', unpack(prefixed(HELD, page)))
    for i, id in ipairs(page) do
      local token, due, started, lost, unknown = nil, nil, nil, 0, 0
      if entries[i] then token, due, started, lost, unknown = parse(entries[i]) end
      local deadline = token and token ~= '-' and redis.call('ZSCORE', active, id)
      if deadline then
        redis.call('ZADD', queue, deadline, id) -- somebody re-scored a claimed job (stock Job.abort does)
        offset = offset - 1
      elseif not held[i] then
        if #found == want then return found, true end
        found[#found + 1] = { id = id, due = tonumber(ids[i * 2]), lost = lost or 0, unknown = unknown or 0 }
      end
    end
    offset = offset + #page
    if #page < size then return found, false end
  end
  return found, false
end

local function claim(found)
  local ids, deadlines, fence, deadline = {}, {}, {}, ms(now + lease)
  for i, job in ipairs(found) do
    ids[i] = job.id
    job.token = worker .. ':' .. lane .. ':' .. ms(seq) .. ':' .. i
    deadlines[#deadlines + 1] = deadline
    deadlines[#deadlines + 1] = job.id
    fence[#fence + 1] = job.id
    fence[#fence + 1] = format(job.token, job.due, now, job.lost, job.unknown)
  end
  redis.call('ZADD', queue, unpack(deadlines))
  redis.call('ZADD', active, unpack(deadlines))
  redis.call('HSET', runs, unpack(fence))
  local payloads = redis.call('MGET', unpack(prefixed(JOB, ids)))
  local aborts = redis.call('ZMSCORE', ABORT, unpack(ids))
  local claims = {}
  for i, job in ipairs(found) do
    local payload = payloads[i]
    redis.call('SET', HELD .. job.id, job.token, 'PX', lease)
    local attempt = redis.pcall('INCR', RETRY .. job.id)
    if type(attempt) ~= 'number' then
      redis.call('SET', RETRY .. job.id, 1)
      attempt = 1
    end
    if service then
      -- A stock client's payload expires; a job that we have seen must not.
      local foreign = payload and string.sub(payload, 1, 5) ~= '{"v":'
      if foreign then redis.call('PERSIST', JOB .. job.id) end
      if foreign and attempt == 1 and job.lost == 0 then
        emit('type', 'started', 'queue', queue_name, 'id', job.id, 'task', task_of(payload), 'attempt', attempt,
          'worker', worker, 'due', ms(job.due), 'payload', payload)
      else
        emit('type', 'started', 'queue', queue_name, 'id', job.id, 'task', task_of(payload), 'attempt', attempt,
          'worker', worker, 'due', ms(job.due))
      end
    end
    claims[i] = describe(job.id, job.token, payload, attempt, job.due, now, job.lost, job.unknown, aborts[i])
  end
  return claims
end

-- The reply to this step was lost: what it claimed is still ours, by the step's number in the tokens.
local function claimed_before()
  local claims, prefix = {}, worker .. ':' .. lane .. ':' .. ms(seq) .. ':'
  local ids = redis.call('ZRANGE', active, 0, -1)
  for from = 1, #ids, 500 do
    local page = { unpack(ids, from, math.min(from + 499, #ids)) }
    local entries = redis.call('HMGET', runs, unpack(page))
    for i, id in ipairs(page) do
      if entries[i] and string.sub(entries[i], 1, #prefix) == prefix then
        local token, due, started, lost, unknown = parse(entries[i])
        local attempt = tonumber(redis.call('GET', RETRY .. id)) or 1
        claims[#claims + 1] = describe(id, token, redis.call('MGET', JOB .. id)[1], attempt, due, started, lost,
          unknown, redis.call('ZSCORE', ABORT, id))
      end
    end
  end
  return claims
end

---------------------------------------------------------------------------------------------------- the step

local answers = settle()
local last = resend and redis.call('GET', step_key)
if resend then redis.call('SET', step_key, ms(seq), 'PX', ms(lease * 4)) end

local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
if #head == 0 then
  if #answers > 0 then redis.call('DEL', seen) end
  return { now, -1, 0, answers, {} }
end
local last_seen = tonumber(redis.call('SET', seen, ms(now), 'PX', ms(lease * 4), 'GET') or nil)
local claims, left = {}, false
if resend and last and tonumber(last) == seq then
  claims = claimed_before()
elseif want > 0 and tonumber(head[2]) <= now then
  reap(last_seen)
  local newest = tonumber(last or redis.call('GET', step_key) or 0)
  if newest == seq then
    claims = claimed_before()
  elseif newest < seq then
    local found
    found, left = find()
    if #found > 0 then
      claims = claim(found)
      redis.call('SET', step_key, ms(seq), 'PX', ms(lease * 4))
    end
  end
end
if left and redis.call('LLEN', wake) == 0 then redis.call('LPUSH', wake, '1') end

local upcoming = -1
if tonumber(head[2]) > now then
  upcoming = math.ceil(tonumber(head[2]) - now)
elseif not left then
  local next_job = redis.call('ZRANGEBYSCORE', queue, '(' .. ms(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if #next_job > 0 then upcoming = math.ceil(tonumber(next_job[2]) - now) end
end
return { now, upcoming, left and 1 or 0, answers, claims }
