-- checkpoint: keep what running jobs have saved, where their claims still hold.
--
-- KEYS  1 runs  2 checkpoint
-- ARGV  for each report: id, token, number, what is kept (`number state`; the state is JSON, and never parsed)
-- Returns how many reports counted.
--
-- Keeps true: the token keeps out a report from a claim that was lost or settled; the number keeps out a report that
-- was sent before a newer one of the same claim, and arrives after it. A full Redis keeps checkpoints too: each takes
-- the place of one before it, or of the work that would be done again.

local runs, checkpoint = KEYS[1], KEYS[2]

redis.call('PERSIST', runs) -- a full Redis allows it, and what follows it
local counted = 0
for at = 1, #ARGV, 4 do
  local id, token, number, saved = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local entry = redis.call('HGET', runs, id)
  if entry and string.match(entry, '^(%S+)') == token then
    local kept = redis.call('HGET', checkpoint, id)
    if not kept or (tonumber(string.match(kept, '^%d+') or nil) or 0) < number then
      redis.call('HSET', checkpoint, id, saved)
      counted = counted + 1
    end
  end
end
return counted
