---------------------------------------------------------------------------------------------------- flows
-- Pipelines and batches: what a job's end means to the run that it is part of. The script that ends the job does it
-- all: it keeps the result, and puts the next stage's job when this was the stage's last. Wants now, terms, put,
-- withdraw, and the locals `events` and `keep_events`.
--
-- A flow is a hash `<prefix><id>`: id, kind (pipeline | batch), state, stage, open (jobs that are not over), parent,
-- plan, path, in (the first stage's input, where it has one), and for each stage `<n>:total`, `:cursor`, `:completed`,
-- `:dead`, `:cancelled`, `:result`. The results of a fan-out lie in a hash `<flow>:<stage>`, by item. The plan is a
-- hash that the client wrote, `<path><stage>:<field>`, and `headers` (JSON); an item of a fan-out over pipelines is a
-- flow too, with its parent's plan and a longer path. Its jobs are `<id>.<stage>.<item>`, and bear
-- `w=<flow>|<stage>|<item>` in their terms.
--
-- `open` counts a job from its enqueue to its end, whatever became of the flow, so that 0 says that nothing of it runs.

local FAN_OUT = '{"v":1,"f":"_each","t":null,"a":[],"k":{},"et":' .. now_ms .. '}'
local SWEEP = '{"v":1,"f":"_sweep","t":null,"a":[],"k":{},"et":' .. now_ms .. '}'
local DAY = '86400000'
local MOST_NAMED = 100 -- dead jobs of a batch that are named

local finish, report, tidy, tell_batch

local function flow_event(kind, queue_name, id, task, ...)
  if events ~= '' then
    redis.call('XADD', events, 'MAXLEN', '~', keep_events, '*', 'type', kind, 'queue', queue_name, 'id', id,
      'task', task, ...)
  end
end

-- Whatever a flow puts has the headers that came with its start, or with the last retry.
local function with_headers(flow, payload)
  local headers = redis.call('HGET', flow.plan, 'headers')
  return headers and string.sub(payload, 1, -2) .. ',"h":' .. headers .. '}' or payload
end

local function flow_at(key)
  local f = redis.call('HMGET', key, 'id', 'kind', 'state', 'stage', 'parent', 'plan', 'path', 'name')
  if not f[1] then return nil end
  return { key = key, id = f[1], kind = f[2], state = f[3], stage = f[4], parent = f[5], plan = f[6], path = f[7],
    name = f[8] }
end

local function step_of(flow, stage)
  local at = flow.path .. stage .. ':'
  local s = redis.call('HMGET', flow.plan, at .. 'kind', at .. 'queue', at .. 'task', at .. 'payload', at .. 'terms',
    at .. 'on_failure', at .. 'wait', at .. 'at')
  return { kind = s[1], queue = s[2], task = s[3], payload = s[4], terms = s[5] or '', on_failure = s[6],
    due = tonumber(s[8] or nil) or now + (tonumber(s[7] or nil) or 0) }
end

local function flow_of(token)
  local key, stage, item = string.match(token, '^(.*)|(%d+)|(%w+)$')
  local flow = key and flow_at(key)
  return flow, stage, item
end

local function child_key(flow, stage, item)
  return string.sub(flow.key, 1, #flow.key - #flow.id) .. flow.id .. '.' .. stage .. '.' .. item
end

local function put_event(queue_name, id, task, due, payload)
  flow_event('enqueued', queue_name, id, task, 'due', ms(due), 'payload', payload)
end

local function put_member(flow, stage, item, queue_name, task, payload, due, terms)
  local queue, id = 'arq:queue:' .. queue_name, flow.id .. '.' .. stage .. '.' .. item
  local token = 'w=' .. flow.key .. '|' .. stage .. '|' .. item
  if not put(queue, id, payload, due, 0, terms == '' and token or terms .. ' ' .. token) then return false end
  redis.call('HINCRBY', flow.key, 'open', 1)
  put_event(queue_name, id, task, due, payload)
  woken[queue] = true
  return true
end

-- A job beside the flow's own: nobody is told of its end.
local function put_helper(flow, suffix, queue_name, task, payload, due, terms)
  local queue, id = 'arq:queue:' .. queue_name, flow.id .. '.' .. suffix
  if put(queue, id, payload, due, 0, terms) then
    put_event(queue_name, id, task, due, payload)
    woken[queue] = true
  end
end

---------------------------------------------------------------------------------------------------- stages

local function start_stage(flow, stage)
  local stages = tonumber(redis.call('HGET', flow.plan, flow.path .. 'n'))
  if stage >= stages then return finish(flow, 'completed', '', '') end
  redis.call('HSET', flow.key, 'stage', stage)
  flow.stage = tostring(stage)
  local step = step_of(flow, stage)
  if step.kind == 'job' then
    redis.call('HSET', flow.key, stage .. ':total', 1)
    local own = stage == 0 and flow.path == '' -- its payload holds its arguments
    local terms = own and step.terms or string.gsub(step.terms .. ' i=1', '^ ', '')
    put_member(flow, stage, 0, step.queue, step.task, with_headers(flow, step.payload), step.due, terms)
  else
    put_member(flow, stage, 'each', step.queue, '_each', with_headers(flow, FAN_OUT), step.due, '')
  end
end

local function close_stage(flow, stage)
  local counts = redis.call('HMGET', flow.key, stage .. ':total', stage .. ':completed', stage .. ':dead',
    stage .. ':cancelled')
  local over = tonumber(counts[2] or 0) + tonumber(counts[3] or 0) + tonumber(counts[4] or 0)
  if not counts[1] or over < tonumber(counts[1]) then return end
  -- What went into it is needed no more.
  local before = tonumber(stage) - 1
  redis.call('HDEL', flow.key, before < 0 and 'in' or before .. ':result')
  redis.call('UNLINK', flow.key .. ':' .. before)
  start_stage(flow, tonumber(stage) + 1)
end

local function results_of(flow, stage)
  local total, parts = tonumber(redis.call('HGET', flow.key, stage .. ':total')), {}
  for from = 0, total - 1, 1000 do
    local items = {}
    for item = from, math.min(from + 999, total - 1) do items[#items + 1] = item end
    local results = redis.call('HMGET', flow.key .. ':' .. stage, unpack(items))
    for _, result in ipairs(results) do parts[#parts + 1] = result end
  end
  return '[' .. table.concat(parts, ',') .. ']'
end

local function result_of(flow)
  if step_of(flow, flow.stage).kind == 'job' then return redis.call('HGET', flow.key, flow.stage .. ':result') end
  return results_of(flow, flow.stage)
end

-- What was done while a flow that died was being stopped needs not be done again if it goes on.
local function keep_for_later(flow, stage, item, detail)
  if flow.parent ~= '' or item == 'each' or step_of(flow, stage).kind == 'job' then return end
  redis.call('HINCRBY', flow.key, stage .. ':completed', 1)
  redis.call('HSET', flow.key .. ':' .. stage, item, detail)
  redis.call('PEXPIRE', flow.key .. ':' .. stage, redis.call('PTTL', flow.key))
end

-- One of the stage's items has ended.
function report(flow, stage, item, outcome, detail, id)
  if flow.state == 'dead' and flow.stage == stage and outcome == 'completed' then
    return keep_for_later(flow, stage, item, detail)
  end
  if flow.state ~= 'active' or flow.stage ~= stage then return end
  if item == 'each' then
    if outcome ~= 'completed' then finish(flow, outcome, detail, id) end
    return
  end
  local step = step_of(flow, stage)
  redis.call('HINCRBY', flow.key, stage .. ':' .. outcome, 1)
  if outcome == 'completed' and step.kind == 'job' then
    redis.call('HSET', flow.key, stage .. ':result', detail)
  elseif outcome == 'completed' then
    redis.call('HSET', flow.key .. ':' .. stage, item, detail)
  elseif step.on_failure == 'continue' then
    redis.call('HSET', flow.key .. ':' .. stage, item, 'null')
  else
    return finish(flow, outcome, detail, id)
  end
  close_stage(flow, stage)
end

local function tell(token, outcome, detail, id)
  local flow, stage, item = flow_of(token)
  if not flow then return end
  redis.call('HINCRBY', flow.key, 'open', -1)
  if flow.kind == 'batch' then return tell_batch(flow, item, outcome, id) end
  report(flow, stage, item, outcome, detail, id)
  tidy(flow)
end

-- For the scripts that end jobs: whether this one is part of a flow, they need not ask.
local function tell_end(terms, outcome, detail, id)
  local token = terms and term(terms, 'w')
  if token and outcome ~= '' then tell(token, outcome, detail, id) end
end

---------------------------------------------------------------------------------------------------- ends

-- A job that waits is taken away; the worker that runs it is asked to stop.
local function stop_member(queue_name, id, task, detail)
  local answer, attempts, terms = withdraw('arq:queue:' .. queue_name, id)
  if answer ~= 'cancelled' then return end
  flow_event('cancelled', queue_name, id, task, 'attempt', attempts, 'detail', detail, 'reason', 'its flow is over')
  tell_end(terms, 'cancelled', detail, id)
end

local function stop_rest(flow, detail)
  local stage, step = flow.stage, step_of(flow, flow.stage)
  if step.kind == 'job' then return stop_member(step.queue, flow.id .. '.' .. stage .. '.0', step.task, detail) end
  stop_member(step.queue, flow.id .. '.' .. stage .. '.each', '_each', detail)
  if tonumber(redis.call('HGET', flow.key, stage .. ':cursor') or 0) > 0 then
    put_helper(flow, stage .. '.sweep', step.queue, '_sweep', with_headers(flow, SWEEP), now, '')
  end
end

function finish(flow, state, detail, id)
  if state == 'completed' then detail = result_of(flow) end
  flow.state = state
  redis.call('HSET', flow.key, 'state', state, 'ended', now_ms, state == 'completed' and 'result' or 'error', detail,
    'failed', id)
  if state ~= 'completed' then stop_rest(flow, detail) end
  if flow.parent ~= '' then
    local parent, stage, item = flow_of(flow.parent)
    if redis.call('EXISTS', flow.key) == 1 then redis.call('PEXPIRE', flow.key, DAY) end
    if parent then report(parent, stage, item, state, detail, id) end
  else
    local f = redis.call('HMGET', flow.key, 'keep', 'retain', 'alias')
    local life = state == 'dead' and f[2] or f[1]
    redis.call('PEXPIRE', flow.key, life)
    redis.call('PEXPIRE', flow.key .. ':' .. flow.stage, life)
    redis.call('PEXPIRE', flow.key .. ':' .. tonumber(flow.stage) - 1, life)
    redis.call('PEXPIRE', flow.plan, ms(math.max(tonumber(life), tonumber(DAY))))
    if f[3] ~= '' then redis.call('PEXPIRE', f[3], life) end
    flow_event(state, '', flow.id, flow.name, 'attempt', '0', 'detail', detail,
      'reason', state == 'dead' and 'failed' or '')
  end
  tidy(flow)
end

-- Nothing of an ended flow runs any more: what is left of its work goes. Of a dead one it stays, so that it may go on.
function tidy(flow)
  local f = redis.call('HMGET', flow.key, 'state', 'open')
  if not f[1] or f[1] == 'active' or tonumber(f[2]) > 0 then return end
  if flow.parent ~= '' then
    redis.call('UNLINK', flow.key, flow.key .. ':' .. flow.stage, flow.key .. ':' .. tonumber(flow.stage) - 1)
    local parent = flow_of(flow.parent)
    if parent then
      redis.call('HINCRBY', parent.key, 'open', -1)
      tidy(parent)
    end
  elseif f[1] ~= 'dead' then
    redis.call('UNLINK', flow.plan, flow.key .. ':' .. flow.stage, flow.key .. ':' .. tonumber(flow.stage) - 1)
    redis.call('HDEL', flow.key, 'in', flow.stage .. ':result', tonumber(flow.stage) - 1 .. ':result')
  end
end

---------------------------------------------------------------------------------------------------- going on

-- A dead flow goes on at the stage where it died, with the results that it has.
local function revive(flow)
  local stage, before = flow.stage, tonumber(flow.stage) - 1
  flow.state = 'active'
  redis.call('HSET', flow.key, 'state', 'active', 'again', 1, stage .. ':cursor', 0, stage .. ':dead', 0,
    stage .. ':cancelled', 0)
  redis.call('HDEL', flow.key, 'ended', 'error', 'failed', 'swept')
  local alias = redis.call('HGET', flow.key, 'alias')
  for _, key in ipairs({ flow.key, flow.plan, flow.key .. ':' .. stage, flow.key .. ':' .. before, alias }) do
    redis.call('PERSIST', key)
  end
  flow_event('enqueued', '', flow.id, flow.name, 'due', now_ms, 'reason', 'replayed')
  start_stage(flow, tonumber(stage))
end

-- The job is put again: its letter goes, and what it had saved is its own again.
local function drop_letter(queue_name, id)
  local dead = 'arq:queue:' .. queue_name .. ':dead'
  if redis.call('ZREM', dead, id) == 0 then return end
  local saved = redis.call('HGET', dead .. ':' .. id, 'checkpoint')
  if saved then
    redis.call('HSET', 'arq:queue:' .. queue_name .. ':checkpoint', id, saved)
    redis.call('SET', 'arq:retry:' .. id, '0') -- a checkpoint counts only beside a counter
  end
  redis.call('DEL', dead .. ':' .. id)
end

local function is_quiet(flow) return tonumber(redis.call('HGET', flow.key, 'open')) <= 0 end

-- What becomes of a dead letter that bears `token`: 'member' (it is put as one of its flow's jobs again), 'alone' (the
-- flow has gone on, or ended, without it) or 'stopping'.
local function rejoin(token)
  local flow, stage, item = flow_of(token)
  if not flow or flow.kind == 'batch' or flow.stage ~= stage then return 'alone' end
  if flow.state == 'dead' and flow.parent == '' then
    if not is_quiet(flow) then return 'stopping' end
    revive(flow)
  end
  local over = item ~= 'each' and redis.call('HEXISTS', flow.key .. ':' .. stage, item) == 1
  return flow.state == 'active' and not over and 'member' or 'alone', flow
end

---------------------------------------------------------------------------------------------------- batches

local function put_callback(flow, which)
  local c = redis.call('HMGET', flow.plan, which .. ':queue', which .. ':task', which .. ':payload', which .. ':terms')
  if c[1] then put_helper(flow, '0.' .. which, c[1], c[2], with_headers(flow, c[3]), now, c[4] or '') end
end

local function close_batch(flow)
  local c = redis.call('HMGET', flow.key, '0:total', '0:completed', '0:dead', '0:cancelled', 'keep', 'stopped', 'alias')
  if tonumber(c[2] or 0) + tonumber(c[3] or 0) + tonumber(c[4] or 0) < tonumber(c[1]) then return end
  local state = c[6] and 'cancelled' or 'completed'
  redis.call('HSET', flow.key, 'state', state, 'ended', now_ms)
  put_callback(flow, 'finished')
  for _, key in ipairs({ flow.key, flow.plan, flow.key .. ':dead' }) do redis.call('PEXPIRE', key, c[5]) end
  if c[7] ~= '' then redis.call('PEXPIRE', c[7], c[5]) end
  flow_event(state, '', flow.id, flow.name, 'attempt', '0', 'detail', '', 'reason', '')
end

-- `<flow>:at` has the queue of each job that is not over.
function tell_batch(flow, item, outcome, id)
  if redis.call('HDEL', flow.key .. ':at', item) == 0 then return end
  redis.call('HINCRBY', flow.key, '0:' .. outcome, 1)
  if outcome == 'dead' then
    if redis.call('RPUSH', flow.key .. ':dead', id) > MOST_NAMED then redis.call('RPOP', flow.key .. ':dead') end
    if redis.call('HSETNX', flow.key, 'told', 1) == 1 then put_callback(flow, 'died') end
  end
  close_batch(flow)
end
