---------------------------------------------------------------------------------------------------- flows
-- A flow is one run of a pipeline, or one batch. The script that ends a job of a flow does all that follows from it:
-- it keeps the result, and puts the next stage's jobs when this was the stage's last. Expects what events.lua
-- expects.
--
-- A flow is the hash `<prefix><id>`:
--   id, kind (pipeline | batch), name, alias (the key of an id that the user gave), stages (to show)
--   state, stage (the current one), at, ended, result (but of a last stage that is `each`) or error, failed (the job that it died of)
--   open      its jobs that are not over, whatever became of the flow: at 0, nothing of it runs
--   tenant    whose it is, where it has one
--   parent    of an item that is a pipeline: `<flow>|<stage>|<item>`
--   in        the first stage's input, where it has one
--   plan, path    where the plan of a stage lies: in the hash `plan`, under `<path><stage>:<field>`
--   keep, retain  for how long a flow that has ended is kept, ms, and for how long a dead one
--   again (it was revived), swept (how far its jobs are stopped), stopped (a cancelled batch), told (of a dead job)
--   <stage>:total, :cursor (how many items are put), :completed, :dead, :cancelled, :result
-- The results of a stage that is `each` of a list lie in the hash `<flow>:<stage>`, by item. An item that is a flow may
-- have the result `@<number> <hash>`: its own items' results are large and lie in that hash, and the set
-- `<flow>:<stage>:large` names it. The client wrote the plan,
-- and in its field `headers` (JSON) what goes into the payloads of the jobs that the scripts put.
--
-- The jobs of a flow have the ids `<id>.<stage>.<item>`, and say in their terms, `w=<flow>|<stage>|<item>`, which
-- member of the flow they are. An item that is a pipeline itself is a flow too, with its parent's plan and a longer
-- path.

--@include events
--@include whole
--@include now

local MOST_LISTED = 10000 -- flows of each state
local LISTED_MS = 90 * 86400000 -- a list expires so long after the last flow that came into it

-- Return the flow at `key`, or nil.
local function flow_at(key)
  local id, kind, state, stage, parent, plan, path, name, tenant =
    unpack(redis.call('HMGET', key, 'id', 'kind', 'state', 'stage', 'parent', 'plan', 'path', 'name', 'tenant'))
  if not id then return nil end
  return { key = key, id = id, kind = kind, state = state, stage = stage, parent = parent, plan = plan, path = path,
    name = name, tenant = tenant or '' }
end

-- Return the flow, the stage and the item that a job's terms or a flow's `parent` name: `<flow>|<stage>|<item>`.
local function flow_of(member)
  local key, stage, item = string.match(member, '^(.*)|(%d+)|(%w+)$')
  local flow = key and flow_at(key)
  return flow, stage, item
end

-- Return what the plan says of a stage.
local function plan_of(flow, stage)
  local at = flow.path .. stage .. ':'
  local kind, queue_name, task, payload, terms, on_failure, wait, due, fan_out =
    unpack(redis.call('HMGET', flow.plan, at .. 'kind', at .. 'queue', at .. 'task', at .. 'payload', at .. 'terms',
      at .. 'on_failure', at .. 'wait', at .. 'at', at .. 'fan_out'))
  return { kind = kind, queue = queue_name, task = task, payload = payload, terms = terms or '',
    on_failure = on_failure, fan_out = fan_out, due = tonumber(due or nil) or now + (tonumber(wait or nil) or 0) }
end

-- Put a flow into the list of those that are in a state, and out of the one where it was. The lists are for people to look
-- at: what they say is checked against the flow's own state there, and no flow fails for them.
local function list_flow(flow, state, before)
  local lists = string.sub(flow.key, 1, #flow.key - #flow.id - 1) .. 's:'
  local list = lists .. state
  at_last(function()
    if before then redis.pcall('ZREM', lists .. before, flow.id) end
    redis.call('ZADD', list, 0, flow.id)
    if redis.call('ZCARD', list) > MOST_LISTED then redis.call('ZREM', list, redis.call('ZRANGE', list, 0, 0)[1]) end
    redis.call('PEXPIRE', list, LISTED_MS)
  end)
end

-- Return terms as a job of the flow's tenant has them.
local function owned(flow, terms)
  if flow.tenant == '' then return terms end
  return (terms == '' and '' or terms .. ' ') .. 't=' .. flow.tenant
end

-- Tell what becomes of a flow as a whole.
local function tell_flow_itself(flow, kind, more, detail)
  tell(kind, '', flow.id, flow.name, 0, nil, more, detail, nil, owned(flow, ''))
end

local function child_key(flow, stage, item)
  return string.sub(flow.key, 1, #flow.key - #flow.id) .. flow.id .. '.' .. stage .. '.' .. item
end

local function results_key(flow, stage) return flow.key .. ':' .. stage end

-- Call `command` on all that holds the results of a stage: the items' own, and those that lie with the items' flows.
local function on_results(command, flow, stage, ...)
  local key = results_key(flow, stage)
  for _, one in ipairs(redis.call('SMEMBERS', key .. ':large')) do command(one, ...) end
  command(key .. ':large', ...)
  command(key, ...)
end

local function discard_results(flow, stage)
  on_results(function(key) discard('UNLINK', key) end, flow, stage)
end

local function expire_results(flow, stage, life)
  on_results(function(key) redis.call('PEXPIRE', key, life) end, flow, stage)
end

-- Let the id that the user gave expire, unless a later flow has it: the key that holds it was deleted meanwhile.
local function expire_alias(flow, life)
  local alias = redis.call('HGET', flow.key, 'alias') or ''
  if alias ~= '' and redis.call('MGET', alias)[1] == flow.id then redis.call('PEXPIRE', alias, life) end
end

-- Return how many jobs of a stage are over, from its three counts.
local function over(completed, dead, cancelled)
  return tonumber(completed or 0) + tonumber(dead or 0) + tonumber(cancelled or 0)
end
