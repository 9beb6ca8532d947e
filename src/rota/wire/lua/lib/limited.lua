---------------------------------------------------------------------------------------------------- limited
-- What a step does with jobs that have terms: whether they may start, and what their starts and their ends mean for their
-- limits, their unique keys and their flows. Expects what step.lua says of its call, which puts this together when it is
-- needed.

--@include limits

-- Tell a job's flow of its end. Few jobs are part of a flow, and the part that knows flows is the largest: it is put
-- together only when the first such job ends. The terms go with it, so that a flow is told once however often the step
-- is sent. A flow that cannot be told at the second time either is damaged, and holds up no job.
local tell_flow, in_one
local function tell_end(job_terms, outcome, detail, id)
  if not term(job_terms, 'w') then return end
  if not tell_flow then
    tell_flow, in_one = (function()
--@include ends
      return function(ended_terms, how, said, ended)
        tell_end(ended_terms, how, said, ended)
        redis.call('HDEL', queue .. ':terms', ended)
      end, whole
    end)()
  end
  local is_told, problem = pcall(in_one, tell_flow, job_terms, outcome, detail, id)
  if not is_told and (not resend or is_forbidden(problem)) then raise(problem) end
end

-- Give back what a job held by its limits, and tell its flow of its end. The terms, which say what is to be done, go
-- last.
local function let_go(job)
  local terms = terms_of(queue, job.id)
  if terms then
    job.terms = terms
    give_back(queue, job.id, terms)
    tell_end(terms, job.event, job.detail, job.id)
    redis.call('HDEL', queue .. ':terms', job.id)
  end
end

-- Tell whether a due job's limits let it start now, and take what that takes; a job that may not start is parked.
local function admit(job)
  local id, terms = job.id, job.terms
  if not are_readable(terms) then job.strange = 'terms' end
  if string.find(terms, '[rc]=') then
    local due = due_in_line(queue, id, terms) or tonumber(job.due)
    job.due = ms(due)
    -- A job that is claimed only to be cancelled needs no turn, and takes none.
    if redis.call('ZSCORE', ABORT, id) then
      leave_lines(queue, id, terms)
      return true
    end
    if not may_start(queue, id, due, terms) then return false end
  end
  start(queue, id, terms)
  return true
end
