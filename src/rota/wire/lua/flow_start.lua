-- flow_start: begin a run of a pipeline, or a batch, whose jobs then come in portions.
--
-- KEYS  1 flow  2 plan  3 events  4 alias (holds the flow of an id that the user gave), where there is one
-- ARGV  1 entries of events to keep  2 id  3 kind: pipeline | batch  4 name  5 ms to keep the result  6 ms to keep a dead one
--       7 the first stage's input, JSON ('' = its arguments are in its payload)  8 stages to show, JSON
--       9 how many jobs the batch has  10 whose it is ('' = no tenant's); then field, value of the plan
-- Returns { 1, id } = begun, { 0, id of the flow that has the alias }.
--
-- Keeps true: at most one live flow has an alias. The same call again, after its reply was lost, begins nothing; nor does one in which
-- a command fails.

local key, plan, events, alias = KEYS[1], KEYS[2], KEYS[3], KEYS[4] or ''
local keep_events, id, kind, name, keep, retain, input, stages, jobs, tenant = unpack(ARGV, 1, 10)

--@include whole
--@include ends

local taken = alias ~= '' and redis.call('GET', alias)
if taken then
  local prefix = string.sub(key, 1, #key - #id)
  local state = redis.call('HGET', prefix .. taken, 'state')
  -- A batch keeps its id as long as it is remembered: a client that enqueues it again wants it once.
  if state == 'active' or (state and kind == 'batch') then return { 0, taken } end
end
if redis.call('EXISTS', key) == 1 then return { 1, id } end

local function write_down()
  redis.call('HSET', key, 'id', id, 'kind', kind, 'state', 'active', 'name', name, 'stage', 0, 'open', 0, 'parent', '',
    'plan', plan, 'path', '', 'at', now_ms, 'keep', keep, 'retain', retain, 'alias', alias, 'stages', stages)
  if input ~= '' then redis.call('HSET', key, 'in', input) end
  if tenant ~= '' then redis.call('HSET', key, 'tenant', tenant) end
  for at = 11, #ARGV, 2 do redis.call('HSET', plan, ARGV[at], ARGV[at + 1]) end
  if kind == 'batch' then redis.call('HSET', key, '0:total', jobs, '0:cursor', 0) end
end

local function begin()
  taken_back_by(function()
    remove(key)
    remove(plan)
  end, write_down)
  if alias ~= '' then redis.call('SET', alias, id) end
  local flow = flow_at(key)
  list_flow(flow, 'active')
  tell_flow_itself(flow, 'enqueued', { due = now })
  if kind == 'batch' then close_batch(flow) else start_stage(flow, 0) end
end

whole(begin)
write_events()
pcall(wake_others)
return { 1, id }
