-- enqueue_once: put one job on a queue, unless the same request did so before.
--
-- KEYS  1 queue  2 wake  3 events  4 marker of the request
-- ARGV  1 queue's name in events  2 entries of events to keep  3 fingerprint of what is asked for  4 life of the marker,
--       ms; then the 9 values of a job that enqueue.lua takes
-- Returns { 0, marker } = an earlier request has left one: `<fingerprint> <1 = it made the job> <queue's name> <id>`; or
--         { 1, answer of enqueue.lua }.
--
-- Keeps true: the marker is written with the job, and never without. It is never changed. A request that is refused, as the
-- id or the unique key is taken, leaves none. If a command fails, nothing is put.

local queue, wake, events, marker = unpack(KEYS)
local queue_name, keep_events, fingerprint, life = unpack(ARGV, 1, 4)
local may_reuse = true

--@include putting

local FIRST, LAST = 5, 13

-- Write what was answered, unless it was a refusal. ARGV[LAST] is what to do where the id or the key is taken.
local function remember()
  local answer, id, made = answers[1], ARGV[FIRST], 1
  if answer ~= 1 then
    if answer[1] == 0 and ARGV[LAST] ~= 'existing' then return end
    id, made = answer[2], 0
  end
  redis.call('SET', marker, table.concat({ fingerprint, made, queue_name, id }, ' '), 'PX', life)
end

local before = redis.call('MGET', marker)[1]
if before then return { 0, before } end
put_all(FIRST, LAST, put_at, remember)
return { 1, answers[1] }
