-- reschedule: make a job that waits due at another time.
--
-- KEYS  1 queue  2 events
-- ARGV  1 queue's name in events  2 entries of events to keep  3 id  4 due in ms (-1 = now)  5 delay in ms  6 job's name
-- Returns 'rescheduled', 'running' (a worker has it), 'absent'.
--
-- Keeps true: the job keeps its payload, its terms and its attempts. It leaves the lines in which it stood, and enters
-- them again when it is due. A job that a worker has is not moved: its score is the end of its lease.

local queue, events = KEYS[1], KEYS[2]
local queue_name, keep_events, id, due, delay, task = unpack(ARGV)

--@include events
--@include held
--@include limits
--@include wake

if not redis.call('ZSCORE', queue, id) then return 'absent' end
if is_held(queue, id) then return 'running' end
due = tonumber(due)
if due < 0 then due = now + tonumber(delay) end

-- A stock client's payload would expire soon after the time at which the job was to run. A full Redis allows this
-- first write, and what follows it.
redis.call('PERSIST', 'arq:job:' .. id)
local terms = terms_of(queue, id)
if terms then leave_lines(queue, id, terms) end
schedule(queue, id, due, terms or nil)
tell('enqueued', queue_name, id, task, 0, due, { reason = 'rescheduled' }, nil, nil, terms)
write_events()
-- The idle workers did not know of this time: one of them is to look, and waits until then if that is soon.
wake_queue(queue)
wake_others(queue)
return 'rescheduled'
