-- delete_letters: delete dead letters of a queue, as their expiry would.
--
-- KEYS  1 queue  2 dead
-- ARGV  ids
-- Returns how many of these letters there were.
--
-- Keeps true: a letter that is deleted is in no list, and its log goes with it.

local queue, dead = KEYS[1], KEYS[2]

--@include letters

local deleted = 0
for _, id in ipairs(ARGV) do
  local letter = dead .. ':' .. id
  local cause = redis.pcall('HMGET', letter, 'cause')[1]
  deleted = deleted + redis.call('DEL', letter)
  redis.call('ZREM', dead, id)
  if cause then unlist_letter(queue, cause, id) end
  redis.call('DEL', 'arq:log:' .. id)
end
return deleted
