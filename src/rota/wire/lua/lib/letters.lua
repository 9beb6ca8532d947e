---------------------------------------------------------------------------------------------------- letters by cause
-- Dead letters by what they died of, for people to look at: `<queue>:cause:<cause>` has the letters of one cause by the time
-- of death, `<queue>:causes` the causes by that of their last letter. No job is held up by these lists, whatever lies there.

local function letters_of(queue_key, cause) return queue_key .. ':cause:' .. cause end

-- Note a letter under its cause, and strike those of that cause that have expired.
local function note_letter(queue_key, cause, id, at, expired, life)
  local letters, causes = letters_of(queue_key, cause), queue_key .. ':causes'
  redis.pcall('ZADD', letters, at, id)
  redis.pcall('ZREMRANGEBYSCORE', letters, '-inf', expired)
  redis.pcall('PEXPIRE', letters, life)
  redis.pcall('ZADD', causes, at, cause)
  redis.pcall('PEXPIRE', causes, life)
end
