-- enqueue: put jobs on one queue, and wake one worker.
--
-- KEYS  1 queue  2 wake  3 events ('' = write none)
-- ARGV  1 queue's name in events  2 entries of events to keep  3 1 = an id whose job has finished may be used again
--       4 how many kinds of jobs there are; then of each kind 7 values: due in ms (-1 = now), delay in ms, life of the
--       payload in ms (0 = for ever), job's name, terms ('' = none), unique key ('' = none) with how long it holds behind a
--       blank (`<key> <ms>`; 0 = as the terms say), what to do where the id or the key is taken: refuse, existing, replace
--       (the job that waits gets this payload and these terms, and keeps its place) or debounce (the same, but it waits
--       for its delay from the start); then of each job, where there are several kinds, the number of its kind, from 1; its
--       id, its payload
-- Returns for each job 1 = put, { 0, id of the job that has the place } = nothing was changed, { 2, id } = replaced; or
--         only the number of jobs, where all are plain (see lib/plain.lua) and were put.
--
-- Keeps true: an id has at most one live job, and so has a unique key. A job that runs is never replaced. If a
-- command fails, nothing is put; a job that was to be replaced is then replaced by the same call.

local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local queue_name, keep_events, may_reuse, kinds = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
-- Where the values of the first job begin, and of how many each has.
local first, stride = 5 + 7 * kinds, kinds > 1 and 3 or 2

--@include plain

local count, failure = put_plain(first, stride)
if count then return count end

-- All else, and all its functions, are made within one that few calls need: making them takes as long as a plain job.
return (function()
  -- For each job its 9 values in a row, as putting.lua reads them.
  local whole = {}
  for at = first, #ARGV, stride do
    local kind = stride == 2 and 1 or tonumber(ARGV[at])
    for place = at + stride - 2, at + stride - 1 do whole[#whole + 1] = ARGV[place] end
    for place = 7 * kind - 2, 7 * kind + 4 do whole[#whole + 1] = ARGV[place] end
  end
  local ARGV = whole

--@include putting

  if failure then
    for at = 1, #ARGV, 9 do undo(ARGV[at], ARGV[at + 6]) end
    raise(failure)
  end
  put_all(1, #ARGV, put_at)
  return answers
end)()
