---------------------------------------------------------------------------------------------------- batches
-- What the end of a job means to its batch: counts, the names of the dead, the callbacks, and the end of the batch.
--
-- A batch is a flow whose one stage, 0, has all its jobs. The hash `<flow>:at` holds the queue of each job that is not
-- over, by item; the list `<flow>:dead` names dead jobs.

--@include members

local MOST_NAMED = 100 -- dead jobs that a batch names

-- Put the job that the batch's client asked to have told: `which` is 'finished' or 'died'.
local function put_callback(flow, which)
  local queue_name, task, payload, terms =
    unpack(redis.call('HMGET', flow.plan, which .. ':queue', which .. ':task', which .. ':payload', which .. ':terms'))
  if queue_name then
    put_helper(flow, '0.' .. which, queue_name, task, with_headers(flow, payload), now, terms or '')
  end
end

-- End a batch whose jobs are all over.
local function close_batch(flow)
  local total, completed, dead, cancelled, keep, stopped = unpack(redis.call('HMGET', flow.key, '0:total',
    '0:completed', '0:dead', '0:cancelled', 'keep', 'stopped'))
  -- Where the number of its jobs was lost, a batch is over with the last of those that are known.
  total = tonumber(total) or over(completed, dead, cancelled) + redis.call('HLEN', flow.key .. ':at')
  if over(completed, dead, cancelled) < total then return end
  local state = stopped and 'cancelled' or 'completed'
  redis.call('HSET', flow.key, 'state', state, 'ended', now_ms)
  put_callback(flow, 'finished')
  for _, key in ipairs({ flow.key, flow.plan, flow.key .. ':dead' }) do redis.call('PEXPIRE', key, keep) end
  expire_alias(flow, keep)
  list_flow(flow, state, 'active')
  tell_flow_itself(flow, state)
end

-- Count the end of a job, once.
local function tell_batch(flow, item, outcome, id)
  if redis.call('HDEL', flow.key .. ':at', item) == 0 then return end
  redis.call('HINCRBY', flow.key, 'open', -1)
  redis.call('HINCRBY', flow.key, '0:' .. outcome, 1)
  if outcome == 'dead' then
    if redis.call('RPUSH', flow.key .. ':dead', id) > MOST_NAMED then redis.call('RPOP', flow.key .. ':dead') end
    if redis.call('HSETNX', flow.key, 'told', 1) == 1 then put_callback(flow, 'died') end
  end
  close_batch(flow)
end
