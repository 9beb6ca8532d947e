-- lead: take the leader's place of a deployment, or give it back.
--
-- KEYS  1 leader  2 epoch  3 vacant
-- ARGV  1 worker  2 lease, ms (0 = give the place back)
-- Returns { the epoch of the worker's term, 0 } if it leads from now on, else { 0, ms until the lease of the one that
--         leads ends }.
--
-- Keeps true: one worker at most has the place; its lease ends by itself unless it is renewed. Each epoch is greater
-- than all before it: also where the server's clock was set back, and where the keys are gone and it was not. So an
-- epoch can fence what a leader writes elsewhere. What is in the keys and was not written here counts as nothing.

--@include now

local leader, last_epoch, vacant = KEYS[1], KEYS[2], KEYS[3]
local worker, lease = ARGV[1], ARGV[2]

-- Return the text in a key; nil where there is none.
local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end

local holder = string.match(text(leader) or '', '^(%S+) %d+$')
if lease == '0' then
  if holder ~= worker then return { 0, 0 } end
  redis.call('DEL', leader, vacant) -- a full Redis allows it, and what follows it
  -- One of those that wait takes the entry, and the place.
  redis.call('LPUSH', vacant, '1')
  redis.call('PEXPIRE', vacant, 5000)
  return { 0, 0 }
end

if holder and holder ~= worker then
  local left = redis.call('PTTL', leader)
  if left > 0 then return { 0, left } end
end

local last = tonumber(text(last_epoch) or '') or 0
if not (last >= 0 and last < 1e15) then last = 0 end
local epoch = math.max(last + 1, now)
redis.call('DEL', leader, vacant)
redis.call('SET', last_epoch, ms(epoch))
redis.call('SET', leader, worker .. ' ' .. ms(epoch), 'PX', lease)
return { epoch, 0 }
