-- sweep_keys: delete keys that are each one job's, or one flow's, and whose job or flow is gone.
--
-- KEYS  the sorted sets of all queues
-- ARGV  1 kind: `payloads`, `counts` (of attempts), `unique` (who holds a unique key), `aliases` (of flows)
--       2 1 = delete them, 0 = only find them   3 what the keys of flows begin with; then keys, at most 200
-- Returns the keys that belong to nothing.
--
-- Keeps true: no key is deleted that expires; nor one of a job that is in any of these queues, or that any worker has;
-- nor, but for payloads, one of a job that has a payload.

--@include calls

local kind, deletes, flows = ARGV[1], ARGV[2] == '1', ARGV[3]

-- Return the job that a key belongs to, or false if nothing can be said.
local function owner_of(key)
  if kind == 'payloads' then return string.sub(key, #'arq:job:' + 1) end
  if kind == 'counts' then return string.sub(key, #'arq:retry:' + 1) end
  return redis.call('MGET', key)[1] -- MGET: a key of another type reads as absent
end

local function lives_by_itself(key, owner)
  if redis.call('PTTL', key) ~= -1 then return true end
  if kind == 'aliases' then return redis.call('EXISTS', flows .. owner) == 1 end
  if kind ~= 'payloads' and redis.call('EXISTS', 'arq:job:' .. owner) == 1 then return true end
  return redis.call('EXISTS', 'arq:in-progress:' .. owner) == 1
end

-- Leave of these jobs those that a queue does not know.
local function unknown_to(queue, jobs)
  if #jobs == 0 then return jobs end
  local ids, left = {}, {}
  for i, job in ipairs(jobs) do ids[i] = job.owner end
  local waiting = redis.call('ZMSCORE', queue, unpack(ids))
  local claimed = redis.call('ZMSCORE', queue .. ':active', unpack(ids))
  local entries = redis.call('HMGET', queue .. ':runs', unpack(ids))
  for i, job in ipairs(jobs) do
    if not (waiting[i] or claimed[i] or entries[i]) then left[#left + 1] = job end
  end
  return left
end

local jobs = {}
for at = 4, #ARGV do
  local owner = owner_of(ARGV[at])
  if owner then jobs[#jobs + 1] = { key = ARGV[at], owner = owner } end
end
if kind ~= 'aliases' then
  for _, queue in ipairs(KEYS) do jobs = unknown_to(queue, jobs) end
end
local gone = {}
for _, job in ipairs(jobs) do
  if not lives_by_itself(job.key, job.owner) then
    gone[#gone + 1] = job.key
    if deletes then redis.call('DEL', job.key) end
  end
end
return gone
