-- enqueue: put jobs on one queue, and wake one worker.
--
-- KEYS  1 queue  2 wake  3 events ('' = write none)
-- ARGV  1 queue's name in events  2 entries of events to keep  3 1 = an id whose job has finished may be used again
--       then, for each job, 9 values: id, payload, due in ms (-1 = now), delay in ms, life of the payload in ms
--       (0 = for ever), job's name, terms ('' = none), unique key ('' = none) with how long it holds behind a blank
--       (`<key> <ms>`; 0 = as the terms say), what to do where the id or the key is taken: refuse, existing, replace
--       (the job that waits gets this payload and these terms, and keeps its place) or debounce (the same, but it waits
--       for its delay from the start)
-- Returns for each job 1 = put, { 0, id of the job that has the place } = nothing was changed, { 2, id } = replaced; or
--         only the number of jobs, where all are plain (see lib/plain.lua) and were put.
--
-- Keeps true: an id has at most one live job, and so has a unique key. A job that runs is never replaced. If a
-- command fails, nothing is put; a job that was to be replaced is then replaced by the same call.

local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local queue_name, keep_events, may_reuse = ARGV[1], ARGV[2], ARGV[3] == '1'

--@include plain

local count, failure = put_plain(4)
if count then return count end

-- All else, and all its functions, are made within one that few calls need: making them takes as long as a plain job.
return (function()
--@include putting

  if failure then
    for at = 4, #ARGV, 9 do undo(ARGV[at], ARGV[at + 6]) end
    raise(failure)
  end
  put_all(4, #ARGV, put_at)
  return answers
end)()
