-- sweep_flows: end flows that are active and none of whose jobs is left, and delete what is left of flows that are gone.
--
-- KEYS  1 events; then keys of flows and of what belongs to them, at most 20
-- ARGV  1 entries of events to keep  2 1 = end and delete them, 0 = only count them  3 what the keys of flows begin with
--       4 error (JSON) of a flow whose jobs are gone
-- Returns { how many flows lacked jobs, how many keys belonged to no flow }.
--
-- Keeps true: a pipeline one of whose jobs has a payload, waits, is claimed or is remembered goes on. Else it ends as dead,
-- and can be resumed where it was. Of a batch, the jobs that are gone count as dead, and those that its client has not put
-- within a day as cancelled. A flow that cannot be ended like this, because it is damaged, is marked as dead.

local events = KEYS[1]
local keep_events, strikes, prefix, detail = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4]

--@include whole
--@include ends

-- Jobs of a batch that are looked at in one go, and how often in one call.
local PAGE, PAGES = 500, 10

local function figure_of(text) return tonumber(text or 0) or 0 end

local function is_alive(queue_name, id)
  if redis.call('EXISTS', 'arq:job:' .. id) == 1 then return true end
  local queue = 'arq:queue:' .. (queue_name or '')
  return redis.call('ZSCORE', queue, id) or redis.call('ZSCORE', queue .. ':active', id)
    or redis.call('HEXISTS', queue .. ':runs', id) == 1
end

-- Tell whether an item of a stage that is `each` of a list is alive: a job, or a pipeline, which has its own look.
local function is_item_alive(flow, plan, item)
  if plan.kind ~= 'nested' then return is_alive(plan.queue, flow.id .. '.' .. flow.stage .. '.' .. item) end
  return redis.call('HGET', child_key(flow, flow.stage, item), 'state') == 'active'
end

-- The last items that were put are the ones that are over last.
local function has_live_item(flow, plan)
  local results = results_key(flow, flow.stage)
  for item = tonumber(redis.call('HGET', flow.key, flow.stage .. ':cursor') or 0) - 1, 0, -1 do
    if redis.call('HEXISTS', results, item) == 0 and is_item_alive(flow, plan, item) then return true end
  end
  return false
end

local function goes_on(flow)
  local plan, id = plan_of(flow, flow.stage), flow.id .. '.' .. flow.stage
  if plan.kind == 'job' then return is_alive(plan.queue, id .. '.0') end
  -- Where the plan is gone, either may be.
  return is_alive(plan.queue, id .. '.each') or is_alive(plan.queue, id .. '.0') or has_live_item(flow, plan)
end

local function end_pipeline(flow)
  redis.call('HSET', flow.key, 'open', 0)
  local last = plan_of(flow, flow.stage).kind == 'job' and '.0' or '.each'
  finish(flow, 'dead', detail, flow.id .. '.' .. flow.stage .. last)
end

-- Return the next jobs of a batch that are not over, as `item, queue`; and those of them that are gone.
local function next_jobs(flow)
  local jobs, gone = redis.call('HSCAN', flow.key .. ':at', 0, 'COUNT', PAGE)[2], {}
  for i = 1, #jobs, 2 do
    if not is_alive(jobs[i + 1], flow.id .. '.0.' .. jobs[i]) then gone[#gone + 1] = jobs[i] end
  end
  return jobs, gone
end

-- Return how many jobs of a batch nobody will ever put, as its client has stopped on the way. One that goes on takes no
-- day for the next.
local function never_put(flow)
  local total, cursor, begun = unpack(redis.call('HMGET', flow.key, '0:total', '0:cursor', 'at'))
  return now - figure_of(begun) > DAY and math.max(0, figure_of(total) - figure_of(cursor)) or 0
end

-- Return how many jobs of a batch are over, or gone, and were not counted: their places in it were deleted.
local function never_counted(flow)
  local cursor, completed, dead, cancelled =
    unpack(redis.call('HMGET', flow.key, '0:cursor', '0:completed', '0:dead', '0:cancelled'))
  local missing = figure_of(cursor) - over(completed, dead, cancelled)
  if missing <= 0 then return 0 end
  for item = 0, figure_of(cursor) - 1 do
    if redis.call('EXISTS', 'arq:job:' .. flow.id .. '.0.' .. item) == 1 then return 0 end
  end
  return missing
end

-- Count the jobs of a batch that are not in its list of those that are not over, and never will be.
local function count_others(flow)
  local unput, uncounted = never_put(flow), never_counted(flow)
  if unput + uncounted == 0 or not strikes then return unput + uncounted > 0 end
  redis.call('HINCRBY', flow.key, '0:dead', uncounted)
  redis.call('HINCRBY', flow.key, '0:cancelled', unput)
  redis.call('HINCRBY', flow.key, '0:cursor', unput)
  close_batch(flow)
  return true
end

-- Count the jobs of a batch that are gone, and return whether there are any.
local function end_jobs(flow)
  local found = false
  for _ = 1, PAGES do
    local jobs, gone = next_jobs(flow)
    found = found or #gone > 0
    if #jobs == 0 then return count_others(flow) or found end
    if not strikes then return found end
    for _, item in ipairs(gone) do tell_batch(flow, item, 'dead', flow.id .. '.0.' .. item) end
    if 2 * #gone < #jobs then return found end
  end
  return found
end

local function mark_as_dead(flow)
  redis.call('HSET', flow.key, 'state', 'dead', 'ended', now_ms, 'open', 0, 'error', detail)
  redis.call('PEXPIRE', flow.key, DAY)
  if flow.plan and flow.parent == '' then redis.call('PEXPIRE', flow.plan, DAY) end
  expire_alias(flow, DAY)
  if flow.parent == '' then list_flow(flow, 'dead', 'active') end
end

-- Tell whether this belongs to a flow that is gone. What belongs to a flow is named after it, and so are the pipelines
-- that are its items.
local function is_orphan(key)
  local root = string.match(string.sub(key, #prefix + 1), '^[^.:]+')
  return root and redis.call('EXISTS', prefix .. root) == 0 and redis.call('PTTL', key) == -1
end

-- End a flow of which nothing is left, and return whether that was so.
local function end_flow(flow)
  if flow.kind == 'batch' then return whole(end_jobs, flow) end
  if goes_on(flow) then return false end
  if strikes then whole(end_pipeline, flow) end
  return true
end

-- Tell whether what keeps a flow from being ended is its own: else it is a right that is missing, say.
local function is_damaged(flow, problem)
  if is_forbidden(problem) then return false end
  if flow.kind ~= 'batch' then return not goes_on(flow) end
  local jobs, gone = next_jobs(flow)
  return 2 * #gone == #jobs
end

local ended, deleted = 0, 0

local function look_at(key)
  local state = redis.pcall('HMGET', key, 'state')[1] -- of a key of another type: nil
  if is_orphan(key) then
    deleted = deleted + 1
    if strikes then redis.call('UNLINK', key) end
  elseif state == 'active' then
    local flow = flow_at(key)
    if not flow then return end
    local is_done, answer = pcall(end_flow, flow)
    if not is_done then
      local is_seen, is_so = pcall(is_damaged, flow, answer)
      answer = is_seen and is_so
      if answer and strikes then mark_as_dead(flow) end
    end
    if answer then ended = ended + 1 end
  end
end

for at = 2, #KEYS do look_at(KEYS[at]) end
write_events()
pcall(wake_others)
return { ended, deleted }
