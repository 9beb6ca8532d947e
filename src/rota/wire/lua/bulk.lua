-- bulk: write how far the leader has come with an action on many jobs, and record it once it is over.
--
-- KEYS  1 operation  2 operations that are not over  3 actions
-- ARGV  1 id  2 the number of the last change that the caller knows  3 life of an operation that is over, ms ('' = it
--       goes on)  4 entries of actions to keep  5 number of fields to set, then each with its value; then the number of
--       fields to count up, then each with by how much; then the fields and values of the entry of an action that is over
-- Returns { the number of this change, 1 = it is to stop }; or { -1, 0 }: another leader has changed it, or it is gone.
--
-- Keeps true: a change counts only on top of the one that its caller knows, so of two leaders one goes on, nothing is
-- counted twice, and an operation is recorded once. Where Redis is full, nothing is changed.

local operation, open, actions = KEYS[1], KEYS[2], KEYS[3]
local id, known, life, keep = unpack(ARGV, 1, 4)
local at = 5

-- Return the next fields with their values, of which the number stands before them.
local function next_pairs()
  local last = at + 2 * tonumber(ARGV[at])
  local found = {}
  for i = at + 1, last do found[#found + 1] = ARGV[i] end
  at = last + 1
  return found
end

if redis.call('HGET', operation, 'change') ~= known then return { -1, 0 } end
local fields, counts = next_pairs(), next_pairs()
local change = redis.call('HINCRBY', operation, 'change', 1)
if #fields > 0 then redis.call('HSET', operation, unpack(fields)) end
for i = 1, #counts, 2 do redis.call('HINCRBY', operation, counts[i], counts[i + 1]) end
if life ~= '' then
  redis.call('HDEL', operation, 'portion', 'place')
  redis.call('PEXPIRE', operation, life)
  redis.call('ZREM', open, id)
  redis.pcall('XADD', actions, 'MAXLEN', keep, '*', unpack(ARGV, at))
end
return { change, redis.call('HEXISTS', operation, 'abort') }
