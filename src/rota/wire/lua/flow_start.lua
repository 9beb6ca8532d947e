-- flow_start: begin the run of a pipeline, or of a batch, whose jobs then come in portions.
--
-- KEYS  1 flow  2 plan  3 alias (an id that the user gave; '' = none)  4 events
-- ARGV  1 events to keep  2 id  3 kind: pipeline | batch  4 name  5 ms to keep the result  6 ms to keep a dead one
--       7 the first stage's input, JSON ('' = its arguments are in its payload)  8 stages to show, JSON
--       9 jobs of the batch, then field, value of the plan
-- Returns { 1, id } = begun, { 0, id of the flow that has the alias }.

--@include now
--@include terms
--@include put
--@include withdraw
local events, keep_events = KEYS[4], ARGV[1]
--@include flow

local key, plan, alias, id = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
local taken = alias ~= '' and redis.call('GET', alias)
if taken then
  local prefix = string.sub(key, 1, #key - #id)
  local state = redis.call('HGET', prefix .. taken, 'state')
  -- A batch is known by its id as long as it is remembered: whoever enqueues it again wants it once.
  if state == 'active' or (state and ARGV[3] == 'batch') then return { 0, taken } end
end
-- The same call again, after its reply was lost.
if redis.call('EXISTS', key) == 1 then return { 1, id } end

redis.call('HSET', key, 'id', id, 'kind', ARGV[3], 'state', 'active', 'name', ARGV[4], 'stage', 0, 'open', 0,
  'parent', '', 'plan', plan, 'path', '', 'at', now_ms, 'keep', ARGV[5], 'retain', ARGV[6], 'alias', alias,
  'stages', ARGV[8])
if ARGV[7] ~= '' then redis.call('HSET', key, 'in', ARGV[7]) end
for at = 10, #ARGV, 2 do redis.call('HSET', plan, ARGV[at], ARGV[at + 1]) end
if alias ~= '' then redis.call('SET', alias, id) end
flow_event('enqueued', '', id, ARGV[4], 'due', now_ms)
local flow = flow_at(key)
if ARGV[3] == 'batch' then
  redis.call('HSET', key, '0:total', ARGV[9], '0:cursor', 0)
  close_batch(flow)
else
  start_stage(flow, 0)
end
for queue in pairs(woken) do wake_queue(queue) end
return { 1, id }
