---------------------------------------------------------------------------------------------------- revival
-- How a pipeline that has died goes on: at the stage where it died, with the results that it has.

--@include ends
--@include letters

-- Tell whether none of a flow's jobs runs or waits any more.
local function is_quiet(flow) return tonumber(redis.call('HGET', flow.key, 'open')) <= 0 end

local function revive(flow)
  local stage, before = flow.stage, tonumber(flow.stage) - 1
  flow.state = 'active'
  redis.call('HSET', flow.key, 'state', 'active', 'again', 1, stage .. ':cursor', 0, stage .. ':dead', 0,
    stage .. ':cancelled', 0)
  redis.call('HDEL', flow.key, 'ended', 'error', 'failed', 'swept')
  local alias = redis.call('HGET', flow.key, 'alias')
  local function persist(key) redis.call('PERSIST', key) end
  persist(flow.key)
  persist(flow.plan)
  on_results(persist, flow, stage)
  on_results(persist, flow, before)
  if alias ~= '' then redis.call('PERSIST', alias) end
  list_flow(flow, 'active', 'dead')
  tell_flow_itself(flow, 'enqueued', { due = now, reason = 'replayed' })
  start_stage(flow, tonumber(stage))
end

-- Delete a dead letter, and its place under its cause, once all else is done.
local function discard_letter(queue_key, id, cause)
  discard('DEL', queue_key .. ':dead:' .. id)
  if cause then at_last(function() unlist_letter(queue_key, cause, id) end) end
end

-- Remove the dead letter of a job that is put again; the job gets back what it had saved.
local function drop_letter(queue_name, id)
  local queue_key = 'arq:queue:' .. queue_name
  if redis.call('ZREM', queue_key .. ':dead', id) == 0 then return end
  local saved, cause = unpack(redis.call('HMGET', queue_key .. ':dead:' .. id, 'checkpoint', 'cause'))
  if saved then
    redis.call('HSET', queue_key .. ':checkpoint', id, saved)
    redis.call('SET', 'arq:retry:' .. id, '0') -- a checkpoint counts only beside a counter
  end
  discard_letter(queue_key, id, cause)
end

-- Revive the flow of a dead letter if it died of that job, and return what becomes of the job: 'member' (it is one of
-- the flow's jobs again; then also the flow), 'alone' (the flow has gone on, or ended, without it) or 'stopping'.
local function rejoin(member)
  local flow, stage, item = flow_of(member)
  if not flow or flow.kind == 'batch' or flow.stage ~= stage then return 'alone' end
  if flow.state == 'dead' and flow.parent == '' then
    if not is_quiet(flow) then return 'stopping' end
    revive(flow)
  end
  local has_result = item ~= 'each' and redis.call('HEXISTS', results_key(flow, stage), item) == 1
  return flow.state == 'active' and not has_result and 'member' or 'alone', flow
end
