---------------------------------------------------------------------------------------------------- settle
-- A step's settlements: how claims ended, and which of these reports count. Then a job is over, or it goes again.
-- Expects what step.lua says of its call.
--
-- In ARGV every settlement has these: id, token, number of its shape, detail (result or error, JSON), record for
-- arq:result ('' = none). A shape is what many of them have in common, and is sent once: kind ('finished', 'dead' or
-- 'again'), event type, task, attempt, life of the record in ms (0 = for ever). Some settlements have more, by name:
--   reason      why the job died or was cancelled
--   mirror_ms   finished: how long the in-progress mirror stays, as arq wants after a cron job
--   delay_ms    again: until the job is due, at least; without it the job has its old place in the line
--   unspent     again: the attempt does not count; one that does has its number in the shape
--   unknown     again: no worker here knows the job
--   terms       again: those that the job was enqueued without
--   checkpoint  dead, again: one that is not written yet
--   failure     again: the error of an attempt that will be repeated, JSON without a newline
--   log         what the handler has logged and is not written yet; '-' where the log is only to expire in time

--@include entries
--@include kept
--@include over

local function read_settlements()
  local shapes, list, at = {}, {}, FIRST_SHAPE
  for i = 1, tonumber(shape_count) do
    local kind, event, task, attempt, record_ms = unpack(ARGV, at, at + 4)
    shapes[i] = { kind = kind, event = event, task = task, attempt = tonumber(attempt), record_ms = record_ms }
    at = at + 5
  end
  for i = 1, tonumber(settlement_count) do
    local shape = shapes[tonumber(ARGV[at + 2])]
    list[i] = { id = ARGV[at], token = ARGV[at + 1], detail = ARGV[at + 3], record = ARGV[at + 4],
      kind = shape.kind, event = shape.event, task = shape.task, attempt = shape.attempt, record_ms = shape.record_ms }
    at = at + 5
  end
  for extra = at, #ARGV, 3 do
    list[tonumber(ARGV[extra])][ARGV[extra + 1]] = ARGV[extra + 2]
    if ARGV[extra + 1] == 'log' then list.have_logs = true end
  end
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

-- Return how many executions ended, and for how long they kept their slots, ms: scaling is worked out from that. A job
-- that no worker here knows was not executed.
local function tally(jobs)
  local ended, busy = 0, 0
  for _, job in ipairs(jobs) do
    if not job.unknown then
      local started = figure(string.match(job.entry, '^ %S+ (%S+)', #job.token + 1))
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

local again
local function going_again()
  again = again or (function()
--@include again
    return { release = release, left_alone = left_alone, spread = spread }
  end)()
  return again
end

local function settle()
  local settlements = read_settlements()
  if #settlements == 0 then return {} end
  local answers, finished, released = judge(settlements)
  if settlements.have_logs and service then
    -- Most handlers log nothing: the part that keeps logs is put together when it is needed.
    (function()
--@include logs
      keep_logs({ finished, released })
    end)()
  end
  conclude(finished)
  for _, job in ipairs(released) do going_again().release(job) end
  add_to_stats(finished, released)
  return answers
end
