---------------------------------------------------------------------------------------------------- ends
-- The end of a job, as its flow is told of it; the end of a flow, and what becomes of the jobs and keys it leaves.

--@include batches
--@include stages
--@include withdraw

local SWEEP = '{"v":1,"f":"_sweep","t":null,"a":[],"k":{},"et":' .. now_ms .. '}'
local DAY = 86400000 -- ms
local tidied = {} -- the flows that this script deletes

-- Delete what a flow worked with, once it has ended and none of its jobs runs. A dead flow keeps it, to be retried; a
-- flow that is an item goes as a whole, and is counted off its parent.
local function tidy(flow)
  local state, open, is_large = unpack(redis.call('HMGET', flow.key, 'state', 'open', 'large'))
  if not state or tidied[flow.key] or state == 'active' or tonumber(open) > 0 then return end
  local stage, before = flow.stage, tonumber(flow.stage) - 1
  if flow.parent ~= '' then
    tidied[flow.key] = true
    discard('UNLINK', flow.key)
    discard_results(flow, before)
    if not is_large then discard_results(flow, stage) end
    local parent = flow_of(flow.parent)
    if parent then
      redis.call('HINCRBY', parent.key, 'open', -1)
      tidy(parent)
    end
  elseif state ~= 'dead' then
    discard('UNLINK', flow.plan)
    discard_results(flow, before)
    discard('HDEL', flow.key, 'in', stage .. ':result', before .. ':result')
    -- What its last items returned is its result, and stays as long as that.
    local is_result = state == 'completed' and redis.call('HEXISTS', flow.key, 'result') == 0
    if not is_result then discard_results(flow, stage) end
  end
end

-- Tell a flow that one of its jobs has ended.
local function tell_flow_of(member, outcome, detail, id)
  local flow, stage, item = flow_of(member)
  if not flow then return end
  if flow.kind == 'batch' then return tell_batch(flow, item, outcome, id) end
  redis.call('HINCRBY', flow.key, 'open', -1)
  report(flow, stage, item, outcome, detail, id)
  tidy(flow)
end

-- Tell the flow of a job that has ended, if these terms name one.
local function tell_end(terms, outcome, detail, id)
  local member = terms and term(terms, 'w')
  if member and outcome ~= '' then tell_flow_of(member, outcome, detail, id) end
end

-- Cancel a job that waits; ask the worker that runs it to stop.
local function stop_member(queue_name, id, task, detail)
  local answer, attempts, terms = withdraw('arq:queue:' .. queue_name, id)
  if answer ~= 'cancelled' then return end
  tell('cancelled', queue_name, id, task, attempts, nil, { reason = 'its flow is over' }, detail, nil, terms)
  tell_end(terms, 'cancelled', detail, id)
end

-- Stop the job of the current stage. The items of a fan-out may be many: a job of their own stops those. Where the plan
-- was deleted, nothing says in which queue they are: they run, and count for nothing.
local function stop_rest(flow, detail)
  local stage, plan = flow.stage, plan_of(flow, flow.stage)
  if not plan.queue then return end
  if plan.kind == 'job' then return stop_member(plan.queue, flow.id .. '.' .. stage .. '.0', plan.task, detail) end
  stop_member(plan.queue, flow.id .. '.' .. stage .. '.each', '_each', detail)
  if tonumber(redis.call('HGET', flow.key, stage .. ':cursor') or 0) > 0 then
    put_helper(flow, stage .. '.sweep', plan.queue, '_sweep', with_headers(flow, SWEEP), now, '')
  end
end

-- Let what is left of a flow that has ended expire, in its time, and write the event.
local function expire(flow, state, detail)
  local keep, retain = unpack(redis.call('HMGET', flow.key, 'keep', 'retain'))
  local life = state == 'dead' and retain or keep
  redis.call('PEXPIRE', flow.key, life)
  expire_results(flow, flow.stage, life)
  expire_results(flow, tonumber(flow.stage) - 1, life)
  redis.call('PEXPIRE', flow.plan, ms(math.max(tonumber(life), DAY)))
  expire_alias(flow, life)
  list_flow(flow, state, 'active')
  local why = state ~= 'completed' and { reason = state == 'dead' and 'failed' or nil } or nil
  tell_flow_itself(flow, state, why, detail)
end

-- End a flow: completed, dead or cancelled. `detail` is its error, `id` the job that it died of.
function finish(flow, state, detail, id)
  flow.state = state
  redis.call('HSET', flow.key, 'state', state, 'ended', now_ms, 'failed', id)
  if state ~= 'completed' then
    redis.call('HSET', flow.key, 'error', detail)
  elseif has_result(flow) then
    detail = result_of(flow)
    redis.call('HSET', flow.key, 'result', detail)
  end
  if state ~= 'completed' then stop_rest(flow, detail) end
  if flow.parent ~= '' then
    local parent, stage, item = flow_of(flow.parent)
    if redis.call('EXISTS', flow.key) == 1 then redis.call('PEXPIRE', flow.key, DAY) end
    if parent and string.sub(detail, 1, 1) == '@' and takes(parent, stage) then keep_large(flow, parent, stage) end
    if parent then report(parent, stage, item, state, detail, id) end
  else
    expire(flow, state, detail)
  end
  tidy(flow)
end
