---------------------------------------------------------------------------------------------------- stages
-- The stages of a pipeline: how one starts, what the end of one of its items means to it, and how the next follows it.

--@include members

-- The payload of the job that fans out, where the client has not written one: in a plan that is signed it has.
local FAN_OUT = '{"v":1,"f":"_each","t":null,"a":[],"k":{},"et":' .. now_ms .. '}'

local LARGE = 200000 -- bytes: the results of an item that is a pipeline are put together up to this size

local finish -- in ends: a pipeline ends with its last stage, and with a stage that fails

-- Start a stage, or end the flow where there is none.
local function start_stage(flow, stage)
  local stages = tonumber(redis.call('HGET', flow.plan, flow.path .. 'n'))
  if stage >= stages then return finish(flow, 'completed', '', '') end
  redis.call('HSET', flow.key, 'stage', stage)
  flow.stage = tostring(stage)
  local plan = plan_of(flow, stage)
  if plan.kind == 'job' then
    redis.call('HSET', flow.key, stage .. ':total', 1)
    -- The payload of the very first stage holds its arguments; that of any other says where its input lies.
    local has_arguments = stage == 0 and flow.path == ''
    local terms = has_arguments and plan.terms or string.gsub(plan.terms .. ' i=1', '^ ', '')
    put_member(flow, stage, 0, plan.queue, plan.task, with_headers(flow, plan.payload), plan.due,
      owned(flow, terms))
  else
    put_member(flow, stage, 'each', plan.queue, '_each', with_headers(flow, plan.fan_out or FAN_OUT), plan.due,
      owned(flow, ''))
  end
end

-- Start the next stage where all items of this one are over.
local function close_stage(flow, stage)
  local total, completed, dead, cancelled = unpack(redis.call('HMGET', flow.key, stage .. ':total',
    stage .. ':completed', stage .. ':dead', stage .. ':cancelled'))
  if not total or over(completed, dead, cancelled) < tonumber(total) then return end
  -- Nothing needs this stage's input any more.
  local before = tonumber(stage) - 1
  discard('HDEL', flow.key, before < 0 and 'in' or before .. ':result')
  discard_results(flow, before)
  start_stage(flow, tonumber(stage) + 1)
end

-- Return the results of a stage that is `each` of a list, as a JSON list; where they are large, what says where they lie.
local function results_of(flow, stage)
  local key, parts, size, page = results_key(flow, stage), {}, 0, 4
  local total, first = tonumber(redis.call('HGET', flow.key, stage .. ':total')), 0
  while first < total do
    local items = {}
    for item = first, math.min(first + page, total) - 1 do items[#items + 1] = item end
    local results = redis.call('HMGET', key, unpack(items))
    for _, result in ipairs(results) do
      size = size + #result
      if size > LARGE or string.sub(result, 1, 1) == '@' then return '@' .. total .. ' ' .. key end
      parts[#parts + 1] = result
    end
    first, page = first + page, math.min(2 * page, 1000)
  end
  return '[' .. table.concat(parts, ',') .. ']'
end

-- Leave large results of a flow that is an item where they lie, and let the flow above it know of them.
local function keep_large(flow, parent, stage)
  local own, above = results_key(flow, flow.stage), results_key(parent, stage) .. ':large'
  redis.call('HSET', flow.key, 'large', 1)
  redis.call('SADD', above, own)
  for _, one in ipairs(redis.call('SMEMBERS', own .. ':large')) do redis.call('SADD', above, one) end
  discard('UNLINK', own .. ':large')
end

-- Tell whether a flow that completes gets a result of its own. What the items of its last stage returned stays where it
-- is, and is put together by who reads it: here it would keep Redis from everything else. (An item's result is one.)
local function has_result(flow) return flow.parent ~= '' or plan_of(flow, flow.stage).kind == 'job' end

local function result_of(flow)
  if plan_of(flow, flow.stage).kind == 'job' then return redis.call('HGET', flow.key, flow.stage .. ':result') end
  return results_of(flow, flow.stage)
end

-- Keep the result of an item that completed while the jobs of its flow, which has died, were being stopped: if the flow
-- is retried, that item need not run again.
local function keep_for_retry(flow, stage, item, result)
  if flow.parent ~= '' or item == 'each' or plan_of(flow, stage).kind == 'job' then return end
  redis.call('HINCRBY', flow.key, stage .. ':completed', 1)
  redis.call('HSETNX', results_key(flow, stage), item, result)
  expire_results(flow, stage, redis.call('PTTL', flow.key))
end

-- Tell whether a flow keeps the result of an item of that stage that completes now (see `report`).
local function takes(flow, stage)
  return flow.stage == stage and (flow.state == 'active' or flow.state == 'dead' and flow.parent == '')
end

-- Record the end of an item. `detail` is its result or its error, `id` the job that failed, if one did.
local function report(flow, stage, item, outcome, detail, id)
  if flow.state == 'dead' and flow.stage == stage and outcome == 'completed' then
    return keep_for_retry(flow, stage, item, detail)
  end
  if flow.state ~= 'active' or flow.stage ~= stage then return end
  if item == 'each' then
    if outcome ~= 'completed' then finish(flow, outcome, detail, id) end
    return
  end
  local plan = plan_of(flow, stage)
  redis.call('HINCRBY', flow.key, stage .. ':' .. outcome, 1)
  if outcome == 'completed' and plan.kind == 'job' then
    redis.call('HSET', flow.key, stage .. ':result', detail)
  elseif outcome == 'completed' then
    redis.call('HSETNX', results_key(flow, stage), item, detail)
  elseif plan.on_failure == 'continue' then
    redis.call('HSETNX', results_key(flow, stage), item, 'null')
  else
    return finish(flow, outcome, detail, id)
  end
  close_stage(flow, stage)
end
