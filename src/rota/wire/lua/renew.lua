-- renew: push the deadline of leases that are still held.
--
-- KEYS  1 queue  2 active  3 runs  4 seen
-- ARGV  1 lease, ms; then id, token for each held claim (at most 500)
-- Returns the ids whose claim is no longer this one.
--
-- A late renewal counts as long as nobody has reclaimed: the token decides, not the time. One that comes first after a
-- silence leaves the time that was last seen as it is, so that the next step learns of the silence, and spares the
-- claims of those whose renewals come a moment later.

--@include now
local queue, active, runs, seen, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1])
local deadline = ms(now + lease)

local ids = {}
for i = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local entries = redis.call('HMGET', runs, unpack(ids))
local lost, scores = {}, {}
for i, id in ipairs(ids) do
  local token = ARGV[2 * i + 1]
  if entries[i] and string.match(entries[i], '^(%S+)') == token then
    scores[#scores + 1] = deadline
    scores[#scores + 1] = id
    -- PEXPIRE first: a full Redis allows it, and with it the rest of this script.
    if redis.call('PEXPIRE', 'arq:in-progress:' .. id, lease) == 0 then
      redis.call('SET', 'arq:in-progress:' .. id, token, 'PX', lease)
    end
  else
    lost[#lost + 1] = id
  end
end
if #scores > 0 then
  redis.call('ZADD', active, unpack(scores))
  redis.call('ZADD', queue, 'XX', unpack(scores))
  local last_seen = tonumber(redis.call('GET', seen) or nil)
  if last_seen and now - last_seen <= lease / 2 then
    redis.call('SET', seen, now_ms, 'PX', ms(lease * 4))
  end
end
return lost
