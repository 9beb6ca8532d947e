---------------------------------------------------------------------------------------------------- strangers
-- Due jobs of names that this worker has lately found not to know. They are put off where they lie: to claim each of a
-- large backlog takes the slots that known jobs wait for. Expects what step.lua says of its call.

--@include entries

-- In the turn of the other workers no more of them than this are left where these find them.
local OFFERED = 100
-- A step puts no more of them off than this, so that it keeps nobody waiting for Redis.
local MOST_PUT_OFF = 250

-- How long they may be unknown, and are left alone, ms; their names; how many were left to other workers; and how many
-- were put off.
local strange = { names = {}, offered = 0, put_off = 0 }
for line in string.gmatch(strangers, '[^\n]+') do
  if strange.grace then
    strange.names[line] = true
  else
    strange.grace, strange.delay = string.match(line, '^(%d+) (%d+)$')
  end
end

-- Tell whether a job is left to other workers for now, because this one did not know it: else this one might win it
-- again and again from one that does.
local function others_turn(job)
  if not job.entry or not is_memory(job.entry) then return false end
  local stranger, _, again_at = parse(job.entry)
  return stranger == '-' .. worker and now < again_at
end

-- Tell whether the job's name is one of those. A payload is read no further than a name may be in it.
local function has_strange_name(id)
  local head = redis.pcall('GETRANGE', JOB .. id, 0, 299)
  return type(head) == 'string' and strange.names[string.match(head, '"f":"([^"]*)"') or ''] == true
end

-- Tell whether to put a job off unclaimed. One that waits in a line of limits has its place there, one whose cancel was
-- asked for must end, and so must one that nobody came to know within the grace: those are claimed.
local function is_stranger(job)
  if strangers == '' or alone or (job.terms and string.find(job.terms, '[rc]=')) then return false end
  if others_turn(job) then
    strange.offered = strange.offered + 1
    if strange.offered <= OFFERED then return false end
  end
  local _, _, _, _, since = parse(job.entry or '')
  if since > 0 and now - since > tonumber(strange.grace) then return false end
  return has_strange_name(job.id) and not redis.call('ZSCORE', ABORT, job.id)
end

-- Put a job off, as the settlement of a claim does for an unknown one.
local function put_off(job)
  local id = job.id
  local _, _, _, lost, since = parse(job.entry or '')
  since = since > 0 and since or now
  local again = going_again()
  local due = again.spread(now + again.left_alone(tonumber(strange.delay), since))
  if strange.put_off == 0 then set_last_step() end -- the first write of a step is one that a full Redis allows
  strange.put_off = strange.put_off + 1
  if job.terms then with_terms().index_priority(queue, id, due, job.terms) end
  redis.call('HSET', runs, id, format('-' .. worker, due, due + TURN, lost, since))
  redis.call('ZADD', queue, 'XX', ms(due), id)
  if due - now < TURN then handed_back = true end
end
