-- flow_look: look at one flow, at each of its stages, and at some items of one of them.
--
-- KEYS  1 flow  2 alias (holds the flow of an id that a user gave)
-- ARGV  1 what the keys of flows begin with  2 the stage whose items are looked at  3 the first of them  4 how many
--       5 the most stages  6 the most letters of a batch; then fields of the flow
-- Returns { } for none such; else the values of these fields; for how many ms it is kept (-1: without end); how many stages it has; for
-- each, { kind, queue, task, on_failure, what became of its job, total, completed, dead, cancelled, cursor }; for each item, what
-- became of it, and its queue ('' where that is not known); the letters of a batch.
--
-- Keeps true: nothing is changed. What became of a job is: waiting, delayed, active, dead, completed, cancelled; '' where it is not there.

--@include now

local key, alias = KEYS[1], KEYS[2]
local prefix, shown, first, most, most_stages, most_letters = ARGV[1], unpack(ARGV, 2, 6)
first, most = tonumber(first), tonumber(most)

if redis.call('EXISTS', key) == 0 then
  local id = redis.call('MGET', alias)[1]
  if not id then return {} end
  key = prefix .. id
end
local id, kind, state, stage, plan, path, stages =
  unpack(redis.call('HMGET', key, 'id', 'kind', 'state', 'stage', 'plan', 'path', 'stages'))
if not id then return {} end
stage, plan, path = tonumber(stage) or 0, plan or key, path or ''

local function state_of_job(queue_name, job)
  local queue = 'arq:queue:' .. queue_name
  if redis.call('ZSCORE', queue .. ':active', job) then return 'active' end
  local due = redis.call('ZSCORE', queue, job)
  if due then return tonumber(due) > now and 'delayed' or 'waiting' end
  return redis.call('EXISTS', queue .. ':dead:' .. job) == 1 and 'dead' or ''
end

-- Return what has become of the job of a stage that has one, or of the one that puts a stage's items.
local function state_of_stage(number, stage_kind, queue_name)
  if number > stage then return '' end
  if number < stage or state == 'completed' then return 'completed' end
  local job = id .. '.' .. number .. (stage_kind == 'job' and '.0' or '.each')
  local found = queue_name and state_of_job(queue_name, job) or ''
  return found == '' and state ~= 'active' and state or found
end

local function look_at_stage(number)
  local at = path .. number .. ':'
  local stage_kind, queue_name, task, on_failure =
    unpack(redis.call('HMGET', plan, at .. 'kind', at .. 'queue', at .. 'task', at .. 'on_failure'))
  local became = kind == 'batch' and '' or state_of_stage(number, stage_kind, queue_name)
  local found = { stage_kind, queue_name, task, on_failure, became }
  local own = number .. ':'
  for _, count in ipairs(redis.call('HMGET', key, own .. 'total', own .. 'completed', own .. 'dead', own .. 'cancelled',
    own .. 'cursor')) do
    found[#found + 1] = count
  end
  return found
end

-- Return what has become of an item of a stage that is `each`, and its queue.
local function look_at_item(number, item, queue_name, is_nested)
  local job, found = id .. '.' .. number .. '.' .. item, ''
  if is_nested then
    found = redis.call('HMGET', prefix .. job, 'state')[1] or ''
  elseif queue_name then
    found = state_of_job(queue_name, job)
  end
  if found == '' and (number < stage or redis.pcall('HEXISTS', key .. ':' .. number, item) == 1) then found = 'completed' end
  if found == '' and state ~= 'active' then found = state == 'completed' and state or 'cancelled' end
  return { found, queue_name or '' }
end

-- Return what has become of a job of a batch, and its queue while it is not over.
local function look_at_member(item)
  local queue_name = redis.call('HGET', key .. ':at', item)
  return { queue_name and state_of_job(queue_name, id .. '.0.' .. item) or 'over', queue_name or '' }
end

local count = kind == 'batch' and 1 or tonumber(redis.call('HGET', plan, path .. 'n'))
if not count then
  local is_read, names = pcall(cjson.decode, stages or '')
  count = is_read and type(names) == 'table' and #names or 0
end
local nodes, items = {}, {}
for number = 0, math.min(count, tonumber(most_stages)) - 1 do nodes[#nodes + 1] = look_at_stage(number) end
local node = shown ~= '' and nodes[tonumber(shown) + 1]
local total = node and tonumber(node[10] or 0) or 0 -- those that are put
for item = first, math.min(first + most, total) - 1 do
  items[#items + 1] = kind == 'batch' and look_at_member(item)
    or look_at_item(tonumber(shown), item, node[2], node[1] == 'nested')
end
local letters = kind == 'batch' and redis.call('LRANGE', key .. ':dead', 0, tonumber(most_letters) - 1) or {}
return { redis.call('HMGET', key, unpack(ARGV, 7)), redis.call('PTTL', key), count, nodes, items, letters }
