-- flow_retry: let a dead pipeline go on at the stage where it died.
--
-- KEYS  1 flow  2 events
-- ARGV  1 entries of events to keep  2 headers of what is put from now on, JSON ('' = as before)
-- Returns 'retried', 'stopping' (jobs of it are still being stopped), 'refused' (it is not dead) or 'absent'.
--
-- Keeps true: a flow goes on only when none of its jobs runs or waits any more, so that no item runs twice at once; and as a whole or not at
-- all.

local key, events = KEYS[1], KEYS[2]
local keep_events, headers = ARGV[1], ARGV[2]

--@include whole
--@include revive

local flow = flow_at(key)
if not flow or flow.kind == 'batch' then return 'absent' end
if flow.state ~= 'dead' or flow.parent ~= '' then return 'refused' end
if not is_quiet(flow) then return 'stopping' end
local plan = plan_of(flow, flow.stage)
whole(function()
  if plan.kind == 'job' then drop_letter(plan.queue, flow.id .. '.' .. flow.stage .. '.0') end
  drop_letter(plan.queue, flow.id .. '.' .. flow.stage .. '.each')
  if headers ~= '' then redis.call('HSET', flow.plan, 'headers', headers) end
  revive(flow)
end)
write_events()
pcall(wake_others)
return 'retried'
