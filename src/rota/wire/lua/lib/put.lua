---------------------------------------------------------------------------------------------------- put
-- Put one job on a queue, under an id that no live job has: its payload, its terms, its place in the queue.

--@include whole
--@include arrange

-- Put a job whose payload lives until `life` ms after it is due (0 = for ever), and return whether its id was free. The
-- caller writes the event and wakes the queue.
local function put(queue, id, payload, due, life, terms)
  if not redis.call('SET', 'arq:job:' .. id, payload, 'NX') then return false end
  taken_back_by(function() take_off(queue, id, terms) end, function()
    if life > 0 then redis.call('PEXPIRE', 'arq:job:' .. id, ms(due - now + life)) end
    redis.call('ZREM', 'arq:abort', id) -- a stock client may have asked to abort the id's last job when it was over
    if terms == '' then redis.call('ZADD', queue, ms(due), id) else arrange(queue, id, due, terms) end
  end)
  discard('DEL', 'arq:result:' .. id)
  return true
end
