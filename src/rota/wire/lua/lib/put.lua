---------------------------------------------------------------------------------------------------- put
-- Put one job on a queue, under an id that no live job has: its payload, its terms, its place. False if the id is
-- taken. `life`: of the payload, ms (0 = for ever). Who calls it tells the event, and wakes somebody. Wants
-- now, terms.

local function arrange(queue, id, due, terms)
  redis.call('HSET', queue .. ':terms', id, terms)
  place(queue, id, due, terms)
  if due <= now then may_start(queue, id, due, terms) end
end

local function put(queue, id, payload, due, life, terms)
  if not redis.call('SET', 'arq:job:' .. id, payload, 'NX') then return false end
  if life > 0 then redis.call('PEXPIRE', 'arq:job:' .. id, ms(due - now + life)) end
  redis.call('DEL', 'arq:result:' .. id)
  redis.call('ZREM', 'arq:abort', id) -- a stock client may have asked for it when the last job of this id was over
  if terms == '' then redis.call('ZADD', queue, ms(due), id) else arrange(queue, id, due, terms) end
  return true
end
