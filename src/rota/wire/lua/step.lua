-- step: settle what has finished, take back what was lost, claim what is due. One call, nothing in between.
--
-- KEYS  1 queue  2 active  3 runs  4 seen  5 step (prefix)  6 dead  7 progress  8 events  9 solitude  10 checkpoint
-- ARGV  of the worker:
--         1 its id   2 lease, ms   3 service: 1 = events, dead letters, losses given back   4 events to keep
--         5 retention of dead letters, ms   6 queue's name in events   7 suspect: a job lost this often runs with no
--         other beside it (0 = off)   8 the queue's rate: `<interval, us> <tolerance, us>` ('' = none)
--       of this step:
--         9 lane   10 sequence number of the step in its lane   11 resend: 1 after a lost reply
--         12 want: how many jobs to claim (<= 100)   13 alone: 1 = nothing runs in the worker's process: claim one
--         suspect, and nothing else   14 how many settlements
--       then, for each settlement, the 9 values that all of them have, and behind the last settlement those that only
--       some have, as place, name, value: lib/settle.lua says what they are
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
-- head of an envelope is looked at, for the job's name. The parts of a step are in lib/, in the order of what happens
-- below.

--@include now

-- Each position of ARGV is named here; those of the settlements, in lib/settle.lua.
local worker, lease_px, service, keep_events, retention, queue_name, suspect, queue_rate = unpack(ARGV, 1, 8)
local lane, seq, resend, want, alone, settlement_count = unpack(ARGV, 9, 14)
local FIRST_SETTLEMENT = 15
service, resend, alone = service == '1', resend == '1', alone == '1'

-- An idle fleet steps on empty queues: those steps end here, before the rest is even put together.
local head
if settlement_count == '0' and not resend then
  head = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if #head == 0 then return { now, -1, 0, {}, {}, 0 } end
end

--@include chunks
--@include entries
--@include limits

---------------------------------------------------------------------------------------------------- the call
-- What the parts below have of this call.

local JOB, RESULT, RETRY, HELD, ABORT = 'arq:job:', 'arq:result:', 'arq:retry:', 'arq:in-progress:', 'arq:abort'
local queue, active, runs, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dead, progress, events, checkpoint = KEYS[6], KEYS[7], KEYS[8], KEYS[10]
-- The tokens of what this step claims begin so.
local token_prefix = worker .. ':' .. lane .. ':' .. seq .. ':'
local lease = tonumber(lease_px)
seq, want = tonumber(seq), tonumber(want)
local snoozes = queue .. ':snoozes'
local deadline_ms = ms(now + lease)

-- In this time every idle worker has looked at the queue, ms.
local TURN = 3500

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

local function emit(...)
  if service then redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', ...) end
end

-- A job's end, as its flow hears of it. Few jobs are part of one, and the part that knows flows is the largest: it is
-- put together when the first of them ends.
local tell_flow
local function tell_end(job_terms, outcome, detail, id)
  if not term(job_terms, 'w') then return end
  if not tell_flow then
    tell_flow = (function()
--@include ends
      return tell_end
    end)()
  end
  tell_flow(job_terms, outcome, detail, id)
end

--@include settle
--@include reap
--@include queue_rate
--@include find
--@include claim

---------------------------------------------------------------------------------------------------- the step

-- The number of the lane's last step that claimed something, or was sent again.
local step_key = KEYS[5] .. ':' .. worker .. ':' .. lane
local function set_last_step() redis.call('SET', step_key, ms(seq), 'PX', ms(lease * 4)) end

-- The claims; whether due jobs are left behind; and, where it is the queue's rate that keeps them, for how long, ms.
local function claim_due()
  local free, rate = tokens()
  local found, left = choose(free)
  local claims = {}
  if #found > 0 then
    if rate then
      for _ = 1, #found do take_token(rate) end
    end
    claims = claim(found)
    set_last_step()
  end
  if left and rate and opens(rate, 0) > now_us then return claims, false, pace(rate, #found == want) end
  return claims, left, nil
end

-- Until a job is due that is not now, ms.
local function time_to_next(first_due, left)
  if first_due > now then return math.ceil(first_due - now) end
  if has.paused or left then return -1 end
  local next_job = redis.call('ZRANGEBYSCORE', queue, '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  return #next_job > 0 and math.ceil(tonumber(next_job[2]) - now) or -1
end

-- One worker that makes room for a suspect is enough: the others go on.
local function makes_room()
  redis.call('SET', KEYS[9], worker, 'NX', 'PX', ms(lease))
  return redis.call('GET', KEYS[9]) == worker
end

local answers = settle()

local last = resend and redis.call('GET', step_key)
if resend and (not last or tonumber(last) < seq) then set_last_step() end

handed_back = handed_back or woken[queue]
head = head or redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
if #head == 0 then
  if #answers > 0 then redis.call('DEL', seen) end
  wake_others(queue)
  return { now, -1, 0, answers, {}, 0 }
end
local first_due = tonumber(head[2])

look_at_the_clock()
local claims, left, closed_for = {}, false, nil
if resend and last and tonumber(last) == seq then
  claims = claimed_before()
elseif want > 0 and first_due <= now and not has.paused then
  reap()
  if not resend then last = redis.call('GET', step_key) end
  local newest = tonumber(last or 0)
  if newest == seq then
    claims = claimed_before()
  elseif newest < seq then
    claims, left, closed_for = claim_due()
  end
end

wake_others(queue)
handed_back = handed_back or woken[queue]
if left or (handed_back and want == 0 and not has.paused) then wake_queue(queue) end
return { now, closed_for or time_to_next(first_due, left), left and 1 or 0, answers, claims,
  suspect_waits and makes_room() and 1 or 0 }
