---------------------------------------------------------------------------------------------------- letters by cause
-- Dead letters by what they died of, for people to look at: `<queue>:cause:<cause>` has the letters of one cause by the time
-- of death, `<queue>:causes` the causes by that of their last letter. No job is held up by these lists, whatever lies there.

local function letters_of(queue_key, cause) return queue_key .. ':cause:' .. cause end

-- Strike letters of this time and before off a list: a portion of them, since there may be very many.
local function strike_expired(list, expired)
  local gone = redis.pcall('ZRANGEBYSCORE', list, '-inf', expired, 'LIMIT', 0, 100)
  if #gone > 0 then redis.pcall('ZREM', list, unpack(gone)) end
end

-- Note a letter under its cause, and strike those of that cause that have expired.
local function note_letter(queue_key, cause, id, at, expired, life)
  local letters, causes = letters_of(queue_key, cause), queue_key .. ':causes'
  redis.pcall('ZADD', letters, at, id)
  strike_expired(letters, expired)
  redis.pcall('PEXPIRE', letters, life)
  redis.pcall('ZADD', causes, at, cause)
  redis.pcall('PEXPIRE', causes, life)
end

-- Take a letter off the list of its cause, and the cause off theirs with its last letter.
local function unlist_letter(queue_key, cause, id)
  local letters = letters_of(queue_key, cause)
  redis.pcall('ZREM', letters, id)
  if redis.pcall('EXISTS', letters) == 0 then redis.pcall('ZREM', queue_key .. ':causes', cause) end
end
