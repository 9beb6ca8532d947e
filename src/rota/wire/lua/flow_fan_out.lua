-- flow_fan_out: put the next items of a fan-out, or the next jobs of a batch: at most 500.
--
-- KEYS  1 flow  2 events
-- ARGV  1 events to keep  2 stage  3 number of the first item here (-1 = only ask)  4 how many items there are in all
--       then for each item 2 values: payload (of an item that is a pipeline: its input, JSON), terms
--       (for a batch 5: payload, terms, queue, task, due in ms)
-- Returns { number of the first item that has not been put, -1 where the stage is over; how many were put here }.
--
-- The cursor moves in this script, and nothing is put that does not begin at it: whoever comes second does no harm.

--@include now
--@include terms
--@include put
--@include withdraw
local events, keep_events = KEYS[2], ARGV[1]
--@include flow

local key, stage, from, total = KEYS[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local flow = flow_at(key)
if not flow or flow.state ~= 'active' or flow.stage ~= stage then return { -1, 0 } end
local cursor = tonumber(redis.call('HGET', key, stage .. ':cursor') or 0)
if from ~= cursor then return { cursor, 0 } end
local number = 0

local function put_batch()
  for at = 5, #ARGV, 5 do
    local item, queue_name, task, due = cursor, ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
    redis.call('HSET', key .. ':at', item, queue_name)
    if put_member(flow, 0, item, queue_name, task, ARGV[at], math.max(due, now), ARGV[at + 1]) then number = number + 1 end
    cursor = cursor + 1
  end
end

local function start_child(step, item, input)
  local child = child_key(flow, stage, item)
  redis.call('HINCRBY', key, 'open', 1)
  redis.call('HSET', child, 'id', flow.id .. '.' .. stage .. '.' .. item, 'kind', 'pipeline', 'state', 'active', 'name',
    flow.name, 'stage', 0, 'open', 0, 'parent', key .. '|' .. stage .. '|' .. item, 'plan', flow.plan, 'path',
    flow.path .. stage .. '.', 'in', input)
  start_stage(flow_at(child), 0)
end

local function put_items()
  local step, ids = step_of(flow, stage), {}
  redis.call('HSET', key, stage .. ':total', total)
  for at = 5, #ARGV, 2 do ids[#ids + 1] = cursor + #ids end
  -- When a flow goes on that had died, most items have their result.
  local results = #ids > 0 and redis.call('HMGET', key .. ':' .. stage, unpack(ids)) or {}
  local delay = tonumber(redis.call('HGET', flow.plan, flow.path .. stage .. ':delay') or 0)
  local again = redis.call('HGET', key, 'again')
  for at = 5, #ARGV, 2 do
    if not results[cursor - from + 1] then
      if step.kind == 'nested' then
        start_child(step, cursor, ARGV[at])
        number = number + 1
      else
        if again then drop_letter(step.queue, flow.id .. '.' .. stage .. '.' .. cursor) end
        if put_member(flow, stage, cursor, step.queue, step.task, ARGV[at], now + delay, ARGV[at + 1]) then number = number + 1 end
      end
    end
    cursor = cursor + 1
  end
end

if flow.kind == 'batch' then put_batch() else put_items() end
redis.call('HSET', key, stage .. ':cursor', cursor)
if flow.kind ~= 'batch' and cursor == total then close_stage(flow, stage) end
for queue in pairs(woken) do wake_queue(queue) end
return { cursor, number }
