---------------------------------------------------------------------------------------------------- members of flows
-- How a flow puts jobs on queues: members, whose ends count for the flow, and helpers, whose ends do not.

--@include flows
--@include put
--@include sealed
--@include wake

-- Add the flow's headers to a payload that the script puts: those that came with its start, or with the last retry. A
-- sealed payload has those of its start.
local function with_headers(flow, payload)
  if is_sealed(payload) then return payload end
  local headers = redis.call('HGET', flow.plan, 'headers')
  return headers and string.sub(payload, 1, -2) .. ',"h":' .. headers .. '}' or payload
end

local function announce(queue_name, id, task, payload, due, terms)
  tell('enqueued', queue_name, id, task, 0, due, nil, nil, payload, terms)
  woken['arq:queue:' .. queue_name] = true
end

-- Put a job of a stage, and return whether it was not there already.
local function put_member(flow, stage, item, queue_name, task, payload, due, terms)
  local queue, id = 'arq:queue:' .. queue_name, flow.id .. '.' .. stage .. '.' .. item
  local member = 'w=' .. flow.key .. '|' .. stage .. '|' .. item
  terms = terms == '' and member or terms .. ' ' .. member
  if not put(queue, id, payload, due, 0, terms) then return false end
  redis.call('HINCRBY', flow.key, 'open', 1)
  announce(queue_name, id, task, payload, due, terms)
  return true
end

-- Put a job that works for the flow without being one of its members. It is of the flow's tenant.
local function put_helper(flow, suffix, queue_name, task, payload, due, terms)
  local queue, id = 'arq:queue:' .. queue_name, flow.id .. '.' .. suffix
  local of_flow = 'f=' .. flow.key
  terms = owned(flow, terms == '' and of_flow or terms .. ' ' .. of_flow)
  if put(queue, id, payload, due, 0, terms) then
    announce(queue_name, id, task, payload, due, terms)
  end
end
