-- flow_stop: cancel a flow, and stop what is left of one that was cancelled or died: at most 500 jobs a call.
--
-- KEYS  1 flow  2 events
-- ARGV  1 events to keep  2 1 = cancel it, 0 = only stop what is left  3 error (JSON) of what is stopped
-- Returns { state before, or '' for none such; 1 if there is more to stop }.

--@include now
--@include terms
--@include put
--@include withdraw
local events, keep_events = KEYS[2], ARGV[1]
--@include flow

local MOST = 500

-- What nobody has put yet never will be.
local function seal_batch(flow)
  if redis.call('HSETNX', flow.key, 'stopped', 1) == 0 then return end
  local c = redis.call('HMGET', flow.key, '0:total', '0:cursor')
  redis.call('HINCRBY', flow.key, '0:cancelled', tonumber(c[1]) - tonumber(c[2]))
  redis.call('HSET', flow.key, '0:cursor', c[1])
  close_batch(flow)
end

local function stop_batch(flow)
  local queues = redis.call('HSCAN', flow.key .. ':at', redis.call('HGET', flow.key, 'swept') or '0', 'COUNT', MOST)
  redis.call('HSET', flow.key, 'swept', queues[1])
  for at = 1, #queues[2], 2 do
    stop_member(queues[2][at + 1], flow.id .. '.0.' .. queues[2][at], '', ARGV[3])
  end
  return queues[1] ~= '0' and 1 or 0
end

local function stop_items(flow)
  local stage, step = flow.stage, step_of(flow, flow.stage)
  local counts = redis.call('HMGET', flow.key, 'swept', stage .. ':cursor')
  local from, cursor, items = tonumber(counts[1] or 0), tonumber(counts[2] or 0), {}
  if step.kind == 'job' or from >= cursor then return 0 end
  local last = math.min(from + MOST, cursor) - 1
  for item = from, last do items[#items + 1] = item end
  redis.call('HSET', flow.key, 'swept', last + 1)
  local results = redis.call('HMGET', flow.key .. ':' .. stage, unpack(items))
  for i, item in ipairs(items) do
    if not results[i] and step.kind == 'nested' then
      local child = flow_at(child_key(flow, stage, item))
      if child and child.state == 'active' then finish(child, 'cancelled', ARGV[3], '') end
    elseif not results[i] then
      stop_member(step.queue, flow.id .. '.' .. stage .. '.' .. item, step.task, ARGV[3])
    end
  end
  return last + 1 < cursor and 1 or 0
end

local flow = flow_at(KEYS[1])
if not flow then return { '', 0 } end
local before, more = flow.state, 0
if flow.kind == 'batch' then
  if ARGV[2] == '1' and before == 'active' then seal_batch(flow) end
  if redis.call('HGET', flow.key, 'stopped') then more = stop_batch(flow) end
else
  if ARGV[2] == '1' and before == 'active' then
    finish(flow, 'cancelled', ARGV[3], '')
  end
  local open = tonumber(redis.call('HGET', flow.key, 'open') or 0)
  if flow.state ~= 'active' and open > 0 then more = stop_items(flow) end
end
for queue in pairs(woken) do wake_queue(queue) end
return { before, more }
