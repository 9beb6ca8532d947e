-- flow_fan_out: put the next items of a stage that is `each` of a list, or the next jobs of a batch: at most 500.
--
-- KEYS  1 flow  2 events
-- ARGV  1 entries of events to keep  2 stage  3 number of the first item here (-1 = only ask)  4 how many items there are in all
--       then for each item 2 values: payload (of an item that is a pipeline: its input, JSON), terms
--       (for a batch 5: payload, terms, queue, task, due in ms; below 0: for so long after the batch began)
-- Returns { number of the first item that has not been put, -1 where the stage is over; how many were put here }.
--
-- Keeps true: the cursor moves in the same step as its items are put, and only a call that begins at the cursor puts
-- any, so that of two callers, or of two sendings, the second changes nothing.

local key, events = KEYS[1], KEYS[2]
local keep_events, stage, first, total = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

--@include whole
--@include revive

local flow = flow_at(key)
if not flow or flow.state ~= 'active' or flow.stage ~= stage then return { -1, 0 } end
local cursor = tonumber(redis.call('HGET', key, stage .. ':cursor') or 0)
if first ~= cursor then return { cursor, 0 } end
local count = 0

local function put_jobs()
  local begun = tonumber(redis.call('HGET', key, 'at') or nil) or now
  for at = 5, #ARGV, 5 do
    local payload, terms, queue_name, task, due = unpack(ARGV, at, at + 4)
    due = tonumber(due)
    if due < 0 then due = begun - due end
    redis.call('HSET', key .. ':at', cursor, queue_name)
    local is_put = put_member(flow, 0, cursor, queue_name, task, payload, math.max(due, now), terms)
    if is_put then count = count + 1 end
    cursor = cursor + 1
  end
end

local function start_pipeline(item, input)
  local child = child_key(flow, stage, item)
  redis.call('HINCRBY', key, 'open', 1)
  redis.call('HSET', child, 'id', flow.id .. '.' .. stage .. '.' .. item, 'kind', 'pipeline', 'state', 'active', 'name',
    flow.name, 'stage', 0, 'open', 0, 'parent', key .. '|' .. stage .. '|' .. item, 'plan', flow.plan, 'path',
    flow.path .. stage .. '.', 'in', input)
  if flow.tenant ~= '' then redis.call('HSET', child, 'tenant', flow.tenant) end
  start_stage(flow_at(child), 0)
end

local function put_item(plan, item, payload, terms, delay, revived)
  if plan.kind == 'nested' then
    start_pipeline(item, payload)
    return true
  end
  if revived then drop_letter(plan.queue, flow.id .. '.' .. stage .. '.' .. item) end
  return put_member(flow, stage, item, plan.queue, plan.task, payload, now + delay, terms)
end

local function put_items()
  local plan, items = plan_of(flow, stage), {}
  redis.call('HSET', key, stage .. ':total', total)
  for _ = 5, #ARGV, 2 do items[#items + 1] = cursor + #items end
  -- In a flow that was revived most items have their results already.
  local results = #items > 0 and redis.call('HMGET', results_key(flow, stage), unpack(items)) or {}
  local delay = tonumber(redis.call('HGET', flow.plan, flow.path .. stage .. ':delay') or 0)
  local revived = redis.call('HGET', key, 'again')
  for i, item in ipairs(items) do
    local payload, terms = ARGV[3 + 2 * i], ARGV[4 + 2 * i]
    if not results[i] and put_item(plan, item, payload, terms, delay, revived) then count = count + 1 end
  end
  cursor = cursor + #items
end

whole(function()
  if flow.kind == 'batch' then put_jobs() else put_items() end
  redis.call('HSET', key, stage .. ':cursor', cursor)
  if flow.kind ~= 'batch' and cursor == total then close_stage(flow, stage) end
end)
write_events()
pcall(wake_others)
return { cursor, count }
