-- renew: move on the deadlines of leases that are still held.
--
-- KEYS  1 queue  2 active  3 runs  4 seen
-- ARGV  1 lease, ms; then for each claim (at most 500): id, token
-- Returns the ids whose claim no longer holds.
--
-- Keeps true: a renewal counts by its token, not by its time: a late one counts as long as nothing has taken the job
-- back. One that comes first after the server stood still, or after its clock was set back, does not touch `seen`: the
-- next step learns of it, and spares the claims whose renewals come a moment later.

--@include now
local queue, active, runs, seen, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1])
local deadline = ms(now + lease)

local ids = {}
for at = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[at] end
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
  if last_seen and now >= last_seen and now - last_seen <= lease / 2 then
    redis.call('SET', seen, now_ms, 'PX', ms(lease * 4))
  end
end
return lost
