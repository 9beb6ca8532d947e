-- schedule_tick: bring a schedule forward: put ticks ahead of their time, take one out, write down where it is.
--
-- KEYS  1 schedule  2 names of all schedules  3 events
-- ARGV  1 name  2 epoch of the leader ('' = a person asks)  3 version of the schedule that was read (0 = none)
--       4 entries of events to keep  5 queue, by its name in events, job's name and id of the tick to take out, three values ('' = none)
--       8 keep | remove  9 how many fields are written; then field, value ('' = no longer), and for each tick to put
--       7 values: tick, ms; queue's name; id; job's name; payload; due, ms; terms
-- Returns { 'done', how many were put }, { 'changed', 0 } = it is not as it was read, { 'fenced', 0 } = a later leader was here.
--
-- Keeps true: what is decided by a reading of a schedule is done only if the schedule is still as it was read, and as a
-- whole or not at all. A tick that was put before, or passed over, is never put again, whatever became of its job. What
-- a worker has already is not taken out.

local key, names, events = KEYS[1], KEYS[2], KEYS[3]
local name, epoch, version, keep_events = unpack(ARGV, 1, 4)
local out_of, out_task, out_id, fate, count = unpack(ARGV, 5, 9)

--@include events
--@include whole
--@include wake
--@include put
--@include withdraw

local former, last_epoch, done_until = unpack(redis.call('HMGET', key, 'version', 'epoch', 'until'))
if epoch ~= '' and tonumber(last_epoch or 0) > tonumber(epoch) then return { 'fenced', 0 } end
if tonumber(former or 0) ~= tonumber(version) then return { 'changed', 0 } end

local function take_out()
  local queue = 'arq:queue:' .. out_of
  if is_held(queue, out_id) then return end
  local answer, attempts, terms = withdraw(queue, out_id)
  if answer == 'cancelled' then
    tell('cancelled', out_of, out_id, out_task, attempts, nil, { reason = 'schedule changed' }, nil, nil, terms)
  end
end

local function write_down()
  local fields_end = 9 + 2 * count
  for at = 10, fields_end, 2 do
    if ARGV[at + 1] == '' then redis.call('HDEL', key, ARGV[at]) else redis.call('HSET', key, ARGV[at], ARGV[at + 1]) end
  end
  redis.call('HSET', key, 'version', ms(tonumber(version) + 1))
  if epoch ~= '' then redis.call('HSET', key, 'epoch', epoch) end
  redis.call('SADD', names, name)
  return fields_end
end

local function put_ticks(at)
  local number = 0
  for first = at, #ARGV, 7 do
    local tick, queue_name, id, task, payload, due, terms = unpack(ARGV, first, first + 6)
    local queue = 'arq:queue:' .. queue_name
    if tonumber(tick) > tonumber(done_until or 0) and put(queue, id, payload, tonumber(due), 0, terms) then
      number = number + 1
      tell('enqueued', queue_name, id, task, 0, due, nil, nil, payload, terms)
      if tonumber(due) <= now then woken[queue] = true end
    end
  end
  return number
end

local function bring_forward()
  if out_id ~= '' then take_out() end
  if fate == 'remove' then
    redis.call('SREM', names, name)
    discard('DEL', key)
    return 0
  end
  return put_ticks(write_down() + 1)
end

local number = whole(bring_forward)
write_events()
pcall(wake_others)
return { 'done', number }
