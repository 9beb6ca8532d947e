-- flow_retry: let a dead pipeline go on at the stage where it died.
--
-- KEYS  1 flow  2 events
-- ARGV  1 events to keep  2 headers of what is put from now on, JSON ('' = as before)
-- Returns 'retried', 'stopping' (jobs of it are still being stopped), 'refused' (it is not dead) or 'absent'.

--@include now
--@include terms
--@include put
--@include withdraw
local events, keep_events = KEYS[2], ARGV[1]
--@include flow

local flow = flow_at(KEYS[1])
if not flow or flow.kind == 'batch' then return 'absent' end
if flow.state ~= 'dead' or flow.parent ~= '' then return 'refused' end
if not is_quiet(flow) then return 'stopping' end
local step = step_of(flow, flow.stage)
if step.kind == 'job' then drop_letter(step.queue, flow.id .. '.' .. flow.stage .. '.0') end
drop_letter(step.queue, flow.id .. '.' .. flow.stage .. '.each')
if ARGV[2] ~= '' then redis.call('HSET', flow.plan, 'headers', ARGV[2]) end
revive(flow)
for queue in pairs(woken) do wake_queue(queue) end
return 'retried'
