-- checkpoint: what running jobs have saved, if they are still the ones that run.
--
-- KEYS  1 runs  2 checkpoint
-- ARGV  for each: id, token, number, what is kept (`number state`; the state is JSON, and never looked at)
-- Returns how many counted.
--
-- The token keeps out what comes from a claim that was lost or settled. The number keeps out what was sent before
-- something newer of the same claim, and arrives after it.

local counted = 0
for at = 1, #ARGV - 3, 4 do
  local id, token, number = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local entry = redis.call('HGET', KEYS[1], id)
  if entry and string.match(entry, '^(%S+)') == token then
    local kept = redis.call('HGET', KEYS[2], id)
    if not kept or (tonumber(string.match(kept, '^%d+') or nil) or 0) < number then
      redis.call('HSET', KEYS[2], id, ARGV[at + 3])
      counted = counted + 1
    end
  end
end
return counted
