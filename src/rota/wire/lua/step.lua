-- step: settle claims, take back lost ones, claim due jobs: one call, so that nothing comes between.
--
-- KEYS  1 queue  2 active  3 runs  4 seen  5 step (prefix)  6 dead  7 progress  8 events  9 solitude  10 checkpoint
-- ARGV  of the worker:
--         1 its id   2 lease, ms   3 service: 1 = events, dead letters, losses given back   4 entries of events to keep
--         5 retention of dead letters, ms   6 queue's name in events   7 suspect: a job lost this often runs with no
--         other beside it (0 = off)   8 the queue's limits: of its rate
--         `<interval, us> <tolerance, us>`, and `/<most>` of the jobs that the whole fleet runs at once ('' = none)
--         9 the version of its code ('' = unknown)
--       of this step:
--         10 lane   11 sequence number of the step in its lane   12 resend: 1 after a lost reply, 2 if
--         the step of this number before it was refused, which may have claimed jobs nevertheless
--         13 want: how many jobs to claim (<= 100)   14 alone: 1 = nothing runs in the worker's process: claim one
--         suspect, and nothing else   15 strangers: the jobs that this worker does not know, `<grace, ms>
--         <delay, ms>` and a name in each line after it ('' = none)   16 how many shapes of settlements
--         17 how many settlements
--       then the 5 values of each shape, the 5 values of each settlement, and the values that only some have, as number
--       of the settlement, name, value: lib/settle.lua says what they are
--
-- Returns { now ms, ms until the next job is due (-1 = none), 1 if due jobs were left behind,
--           { for each settlement 1 = counted, 0 = stale, 2 = resent and already gone },
--           { for each claim { id, its run entry, payload or false, attempt }, and behind these, of a job of which there
--             is more to say, { 1 if its cancel was asked for, its terms ('' = none), its checkpoint or false, how often
--             it has snoozed or false, and the name of what of it could not be read, if anything } },
--           1 if a suspect waits and this worker is the one that should make room for it }
--
-- Keeps true: a job with a token in `runs` is in `active`, and in the queue at the same score, its deadline. A
-- settlement counts only with the token of its claim. The first write is one that a full Redis allows, so that finished
-- work is recorded, what waits is claimed, and memory is freed, even then. Payloads are moved, never parsed; only the
-- fixed head of an envelope is looked at, for the job's name.
--
-- The parts of a step are in lib/, included in the order in which a step goes through them.

--@include calls
--@include faults
--@include now

local queue = KEYS[1]
local worker, lease_px, service, keep_events, retention, queue_name, suspect, queue_limits = unpack(ARGV, 1, 8)
local lane, seq, resend, want, alone, strangers, shape_count, settlement_count = unpack(ARGV, 10, 17)
local FIRST_SHAPE = 18
local refused = resend == '2'
service, resend, alone = service == '1', resend == '1', alone == '1'

-- An idle fleet steps on empty queues: those steps end here, before the rest of the script is even put together.
local head -- the first job of the queue, and its score
if settlement_count == '0' and not resend then
  head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if #head == 0 then return { now, -1, 0, {}, {}, 0 } end
end

---------------------------------------------------------------------------------------------------- the call
-- What the parts of a step know of this call.

local JOB, RESULT, RETRY, HELD, ABORT = 'arq:job:', 'arq:result:', 'arq:retry:', 'arq:in-progress:', 'arq:abort'
local active, runs, seen, step_prefix, dead, progress, events, solitude, checkpoint = unpack(KEYS, 2, 10)
if not service then events = '' end
local snoozes, attempts = queue .. ':snoozes', queue .. ':attempts'
-- How the tokens of this step's claims begin. The number is filled up so that run entries are longer than 64 bytes: a hash
-- of shorter ones is a list to Redis, which it reads through for every job, for a twentieth of a step of 100 slots.
local token_prefix = worker .. ':' .. lane .. ':' .. string.format('%020d', seq) .. ':'
local lease = tonumber(lease_px)
seq, want = tonumber(seq), tonumber(want)
local deadline_ms = ms(now + lease)

-- Within this time every idle worker looks at the queue, ms.
local TURN = 3500

--@include events
code_version = ARGV[9]

-- Tells which keys a queue has that most queues lack: `has.terms`, `.checkpoint`, `.snoozes`, `.attempts`, `.paused`,
-- `.suspects`, `.progress`, and `.abort`, which is of all queues. They are looked up when one is first asked for, and a queue
-- with none of them pays for one command. A part that makes such a key in this step sets its field.
local unfound -- how many of the keys exist that have not been asked for yet
local has = setmetatable({}, {
  __index = function(known, part)
    if not unfound then
      local keys = { queue .. ':terms', checkpoint, snoozes, attempts, queue .. ':paused', queue .. ':suspects', progress,
        ABORT }
      if service then keys[9] = recording end -- a bare worker has no right to it
      unfound = redis.call('EXISTS', unpack(keys))
      if unfound == 0 then recorder = false end
    end
    local key = part == 'abort' and ABORT or queue .. ':' .. part
    known[part] = unfound > 0 and redis.call('EXISTS', key) == 1
    if known[part] then unfound = unfound - 1 end
    return known[part]
  end,
})

---------------------------------------------------------------------------------------------------- the step
-- All functions are made inside one, because making a hundred of them is a good part of a step's time. For each local
-- that a function captures, Lua searches all locals captured so far in the function around it; those from further out
-- it finds at once. Side by side with the values above, the functions took twice as long to make.

local function step()
--@include wake
--@include terms

  local handed_back = false -- a job that was settled, or put off, is due again, soon

  -- What knows terms and limits is a third of this script, and most jobs have no terms: it is put together when the first
  -- job needs it. So is all else that few steps need: a function takes a microsecond to make.
  local terms_known
  local function with_terms()
    terms_known = terms_known or (function()
--@include limited
      return { admit = admit, drop_level = drop_level, forget_terms = forget_terms, free_slot = free_slot,
        index_priority = index_priority, let_go = let_go, release_unique = release_unique, park = park,
        rates = { count_start = count_start, opens_at = opens_at, sane = sane, now_us = now_us }, BACKSTOP = BACKSTOP }
    end)()
    return terms_known
  end

  -- Write as SET does, in what may be this step's first write. A full Redis refuses that if it takes memory, and refuses
  -- none after one that takes none: cutting the events short is such a one, and makes room besides.
  local function set_first(...)
    local answer = redis.pcall('SET', ...)
    if type(answer) ~= 'table' or not answer.err then return answer end
    if string.find(tostring(answer.err), 'OOM', 1, true) then
      if service then redis.call('XTRIM', events, 'MAXLEN', '~', 1000) else redis.call('PERSIST', queue) end
    end
    return redis.call('SET', ...)
  end

  -- Holds the number of the lane's last step that claimed something, or was sent again.
  local step_key = step_prefix .. ':' .. worker .. ':' .. lane
  local function set_last_step() set_first(step_key, ms(seq), 'PX', ms(lease * 4)) end

--@include settle
--@include reap
--@include queue_rate
--@include find
--@include claim

  -- Claim due jobs. Return the claims; whether due jobs are left behind; and, where the queue's own rate keeps them
  -- back, for how long, ms.
  local function claim_due()
    local most, rate, room = startable()
    local found, left = choose(most)
    local claims = {}
    if #found > 0 then
      if rate then
        for _ = 1, #found do with_terms().rates.count_start(rate) end
      end
      claims = claim(found)
    end
    if left and room and #found >= room then return claims, false, -1 end
    if left and rate and is_closed(rate) then return claims, false, pace(rate, #found == want) end
    return claims, left, nil
  end

  -- Return how long it is until another job becomes due, ms; -1 for never, or where none would be claimed.
  local function time_to_next(first_due, left)
    if first_due > now then return math.ceil(first_due - now) end
    if has.paused or left then return -1 end
    local next_job = redis.call('ZRANGEBYSCORE', queue, '(' .. now_ms, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    return #next_job > 0 and math.ceil(tonumber(next_job[2]) - now) or -1
  end

  -- Tell whether this worker is the one that makes room for a suspect: one is enough, and the others go on.
  local function makes_room()
    redis.call('SET', solitude, worker, 'NX', 'PX', ms(lease))
    return redis.call('GET', solitude) == worker
  end

  local answers = settle()

  local last = (resend or refused) and redis.call('GET', step_key)
  if resend and (not last or tonumber(last) < seq) then set_last_step() end

  handed_back = handed_back or woken[queue]
  head = head or redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if #head == 0 then
    if #answers > 0 then redis.call('DEL', seen) end
    wake_others(queue)
    return { now, -1, 0, answers, {}, 0 }
  end
  local first_due = tonumber(head[2])

  if check_clock() then first_due = now end
  local claims, left, closed_for = {}, false, nil
  if last and tonumber(last) == seq then
    claims = claimed_before()
  elseif want > 0 and (first_due <= now or alone) and not has.paused then
    reap()
    if not resend then last = redis.call('GET', step_key) end
    local newest = tonumber(last or 0)
    if newest == seq then
      claims = claimed_before()
    elseif newest < seq then
      claims, left, closed_for = claim_due()
    end
  end

  -- Suspects that were set apart before are not due by their place in the queue.
  if want > 0 and suspect ~= '0' and not (alone or suspect_waits or has.paused) then suspect_waits = has.suspects end

  wake_others(queue)
  handed_back = handed_back or woken[queue]
  -- A job of a fleet that was full has ended, and this worker wants no other.
  local freed = want == 0 and #answers > 0 and first_due <= now and (fleet_room() or 0) > 0
  if left or ((handed_back or freed) and want == 0 and not has.paused) then wake_queue(queue) end
  return { now, closed_for or time_to_next(first_due, left), left and 1 or 0, answers, claims,
    suspect_waits and makes_room() and 1 or 0 }
end

local is_done, reply = pcall(step)
-- What a step has changed before a command of it failed is told, because it is not changed again.
write_events()
if not is_done then raise(reply) end
return reply
