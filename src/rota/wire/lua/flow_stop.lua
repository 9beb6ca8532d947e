-- flow_stop: cancel a flow, and stop what is left of one that was cancelled or died: at most 500 jobs a call.
--
-- KEYS  1 flow  2 events
-- ARGV  1 entries of events to keep  2 1 = cancel it, 0 = only stop what is left  3 error (JSON) of what is stopped
-- Returns { state before, or '' for none such; 1 if there is more to stop }.
--
-- Keeps true: a flow ends once. `swept` says how far its jobs are stopped, so that a call that is cut off is followed
-- by one that goes on there; so is one in which a command fails, which has stopped nothing.

local key, events = KEYS[1], KEYS[2]
local keep_events, is_cancelled, detail = ARGV[1], ARGV[2] == '1', ARGV[3]

--@include whole
--@include ends

local MOST = 500

-- Count the jobs of a batch that have not been put as cancelled: none of them will be put any more.
local function seal_batch(flow)
  redis.call('HSET', flow.key, 'stopped', 1)
  local total, cursor = unpack(redis.call('HMGET', flow.key, '0:total', '0:cursor'))
  redis.call('HINCRBY', flow.key, '0:cancelled', tonumber(total) - tonumber(cursor))
  redis.call('HSET', flow.key, '0:cursor', total)
  close_batch(flow)
end

-- Stop the next jobs of a batch, and return whether there are more.
local function stop_jobs(flow)
  local swept = redis.call('HGET', flow.key, 'swept') or '0'
  local next_cursor, queues = unpack(redis.call('HSCAN', flow.key .. ':at', swept, 'COUNT', MOST))
  redis.call('HSET', flow.key, 'swept', next_cursor)
  for at = 1, #queues, 2 do
    local item, queue_name = queues[at], queues[at + 1]
    stop_member(queue_name, flow.id .. '.0.' .. item, '', detail)
  end
  return next_cursor ~= '0'
end

-- Stop the next items of a stage, and return whether there are more.
local function stop_items(flow)
  local stage, plan = flow.stage, plan_of(flow, flow.stage)
  local swept, cursor = unpack(redis.call('HMGET', flow.key, 'swept', stage .. ':cursor'))
  local first, items = tonumber(swept or 0), {}
  cursor = tonumber(cursor or 0)
  if plan.kind == 'job' or not plan.queue or first >= cursor then return false end
  local last = math.min(first + MOST, cursor) - 1
  for item = first, last do items[#items + 1] = item end
  redis.call('HSET', flow.key, 'swept', last + 1)
  local results = redis.call('HMGET', results_key(flow, stage), unpack(items))
  for i, item in ipairs(items) do
    if not results[i] and plan.kind == 'nested' then
      local child = flow_at(child_key(flow, stage, item))
      if child and child.state == 'active' then finish(child, 'cancelled', detail, '') end
    elseif not results[i] then
      stop_member(plan.queue, flow.id .. '.' .. stage .. '.' .. item, plan.task, detail)
    end
  end
  return last + 1 < cursor
end

local flow = flow_at(key)
if not flow then return { '', 0 } end
-- As in cancel: a full Redis allows this first write, and what follows it.
redis.call('ZREMRANGEBYSCORE', 'arq:abort', '-inf', ms(now - DAY))
local before = flow.state
local more = whole(function()
  if flow.kind == 'batch' then
    if is_cancelled and before == 'active' then seal_batch(flow) end
    return redis.call('HGET', flow.key, 'stopped') and stop_jobs(flow)
  end
  if is_cancelled and before == 'active' then finish(flow, 'cancelled', detail, '') end
  local open = tonumber(redis.call('HGET', flow.key, 'open') or 0)
  return flow.state ~= 'active' and open > 0 and stop_items(flow)
end)
write_events()
pcall(wake_others)
return { before, more and 1 or 0 }
