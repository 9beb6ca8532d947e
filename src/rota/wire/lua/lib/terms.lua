---------------------------------------------------------------------------------------------------- terms
-- What a script must know of a job beside its payload: one string of tokens in the hash `<queue>:terms`, by id.
-- Wants now.
--   p=<1-9>                                          its priority
--   r=<limit>|<key>|<interval, us>|<tolerance, us>   its rate limit
--   c=<limit>|<key>|<most>                           how many of its key run at once
--   u=<unique key>|<s or f>                          what nobody else is enqueued under until it starts, or has ended
-- No value holds white space or `=`. The key <limit> holds its figures as the workers last wrote them; where it is
-- gone, those in the token hold.
--
-- A job that may not start yet because of a limit is parked: its score in the queue, and in `<queue>:parked`, is the
-- time at which it may, as far as that is known, and it waits in the line of its key, `<queue>:line:<limit>:<key>`, by
-- the time at which it was due. Whoever takes a turn brings the next one of the line forward. So nothing is scanned
-- twice; and as every score comes due by itself in the end, nothing is forgotten where somebody else removed the head
-- of a line.

local BACKSTOP = 60000 -- ms after which a job that waits for a slot looks by itself

local now_us = time[1] * 1000000 + time[2]

local function term(terms, letter) return string.match(terms, letter .. '=(%S+)') end

local function terms_of(queue, id) return redis.call('HGET', queue .. ':terms', id) end

-- The queue's set is the truth; the index of a priority follows it.
local function index(queue, id, score, terms)
  local level = terms and term(terms, 'p')
  if level then
    redis.call('ZADD', queue .. ':p' .. level, ms(score), id)
    redis.call('HSET', queue .. ':levels', level, 1)
  end
end

local function drop_level(queue, level)
  if redis.call('EXISTS', queue .. ':p' .. level) == 1 then return end
  redis.call('HDEL', queue .. ':levels', level)
  if redis.call('HLEN', queue .. ':levels') == redis.call('HEXISTS', queue .. ':levels', 'turn') then
    redis.call('DEL', queue .. ':levels')
  end
end

local function unindex(queue, id, terms)
  local level = term(terms, 'p')
  if level and redis.call('ZREM', queue .. ':p' .. level, id) == 1 then drop_level(queue, level) end
end

local function place(queue, id, score, terms)
  redis.call('ZADD', queue, ms(score), id)
  index(queue, id, score, terms)
end

local function forget_unique(terms, mode, id)
  local key, until_when = string.match(terms, 'u=([^|]*)|(%l)')
  if key and (mode == 'f' or until_when == mode) and redis.call('GET', key) == id then redis.call('DEL', key) end
end

local function drop_ghost(queue, line, id)
  redis.call('ZREM', line, id)
  redis.call('ZREM', queue .. ':parked', id)
end

-- Rates: GCRA. `tat` is the time at which the next one would be due at an even pace.

local rates = {}

-- No start leaves a later time than this: it was another limit's, or the server's clock was set back.
local function sane(rate, written)
  local tat = tonumber(written or nil) or 0
  return tat <= now_us + rate.interval + rate.tolerance and tat or 0
end

local function rate_of(token)
  local limit, key, interval, tolerance = string.match(token, '^(.-)|(.-)|(%d+)|(%d+)$')
  local state = limit .. ':' .. key
  if rates[state] then return rates[state] end
  local figures = redis.call('MGET', limit, state)
  if figures[1] then interval, tolerance = string.match(figures[1], '^(%d+) (%d+)$') end
  local rate = { state = state, interval = tonumber(interval), tolerance = tonumber(tolerance) }
  rate.tat = sane(rate, figures[2])
  rates[state] = rate
  return rate
end

-- When the job with `rank` others before it may start, us.
local function opens(rate, rank)
  if rank == 0 then return math.max(now_us, rate.tat - rate.tolerance) end
  return math.max(now_us, math.max(rate.tat, now_us) + rank * rate.interval - rate.tolerance)
end

local function take_token(rate)
  rate.tat = math.max(rate.tat, now_us) + rate.interval
  redis.call('SET', rate.state, ms(rate.tat), 'PX', ms(math.ceil((rate.tat - now_us) / 1000) + 1))
end

local function bring_forward(queue, rate)
  local line = queue .. ':line:' .. rate.state
  for _ = 1, 100 do
    local head = redis.call('ZRANGE', line, 0, 0)[1]
    if not head then return end
    local score, at = redis.call('ZSCORE', queue, head), math.ceil(opens(rate, 0) / 1000)
    if score then
      if tonumber(score) > at then
        place(queue, head, at, terms_of(queue, head))
        redis.call('ZADD', queue .. ':parked', 'XX', at, head)
      end
      return
    end
    drop_ghost(queue, line, head)
  end
end

-- Slots: the set of those that run.

local pools = {}
local started = {} -- those that start in this very script, and have no run entry yet
local woken = {} -- queues that have something due now which they had not before

local function pool_of(token)
  local limit, key, most = string.match(token, '^(.-)|(.-)|(%d+)$')
  local state = limit .. ':' .. key
  if pools[state] then return pools[state] end
  local figure = redis.call('GET', limit)
  local pool = { state = state, most = tonumber(figure or most), taken = redis.call('SCARD', state) }
  pools[state] = pool
  return pool
end

-- A claim that was forgotten, because a stock worker took the job over or somebody deleted keys, holds no slot.
local function recount(pool)
  if pool.recounted then return end
  pool.recounted = true
  for _, member in ipairs(redis.call('SMEMBERS', pool.state)) do
    local queue, id = string.match(member, '^(%S+) (.*)$')
    local entry = redis.call('HGET', queue .. ':runs', id)
    if not started[member] and (not entry or string.sub(entry, 1, 1) == '-') then
      redis.call('SREM', pool.state, member)
      pool.taken = pool.taken - 1
    end
  end
end

local function fill(pool)
  local room = pool.most - pool.taken
  if room <= 0 then return end
  local lines = pool.state .. ':lines'
  for _, queue in ipairs(redis.call('SMEMBERS', lines)) do
    local line = queue .. ':line:' .. pool.state
    local heads = redis.call('ZRANGE', line, 0, room - 1, 'WITHSCORES')
    if #heads == 0 then redis.call('SREM', lines, queue) end
    for i = 1, #heads, 2 do
      local id, due = heads[i], tonumber(heads[i + 1])
      local score = redis.call('ZSCORE', queue, id)
      if not score then
        drop_ghost(queue, line, id)
      elseif tonumber(score) > now then
        place(queue, id, due, terms_of(queue, id))
        redis.call('ZREM', queue .. ':parked', id)
        woken[queue] = true
      end
    end
  end
end

local function free_slot(queue, id, terms)
  local token = term(terms, 'c')
  if not token then return end
  local pool = pool_of(token)
  if redis.call('SREM', pool.state, queue .. ' ' .. id) == 1 then
    pool.taken = pool.taken - 1
    fill(pool)
  end
end

-- Lines

local function leave(queue, id, terms)
  local slots, rate = term(terms, 'c'), term(terms, 'r')
  if not (slots or rate) then return end
  redis.call('ZREM', queue .. ':parked', id)
  if slots then
    local pool = pool_of(slots)
    if redis.call('ZREM', queue .. ':line:' .. pool.state, id) == 1 then fill(pool) end
  end
  if rate then
    local line = rate_of(rate)
    if redis.call('ZREM', queue .. ':line:' .. line.state, id) == 1 then bring_forward(queue, line) end
  end
end

local function join(queue, state, id, due)
  local line = queue .. ':line:' .. state
  redis.call('ZADD', line, 'NX', ms(due), id)
  return redis.call('ZRANK', line, id)
end

local function park(queue, id, terms, score)
  place(queue, id, score, terms)
  redis.call('ZADD', queue .. ':parked', ms(score), id)
end

-- When a job was due that waits in a line.
local function place_of(queue, id, terms)
  local slots, rate = term(terms, 'c'), term(terms, 'r')
  local due = slots and redis.call('ZSCORE', queue .. ':line:' .. pool_of(slots).state, id)
  return tonumber(due or rate and redis.call('ZSCORE', queue .. ':line:' .. rate_of(rate).state, id) or nil)
end

-- Whether a due job may start now, as far as its limits go; one that may not is parked.
local function may_start(queue, id, due, terms)
  local slots, rate = term(terms, 'c'), term(terms, 'r')
  if slots then
    local pool = pool_of(slots)
    local rank = join(queue, pool.state, id, due)
    if rank >= pool.most - pool.taken then recount(pool) end
    if rank >= pool.most - pool.taken then
      redis.call('SADD', pool.state .. ':lines', queue)
      if rate then
        local line = rate_of(rate)
        if redis.call('ZREM', queue .. ':line:' .. line.state, id) == 1 then bring_forward(queue, line) end
      end
      park(queue, id, terms, now + BACKSTOP + rank * 100)
      return false
    end
  end
  if rate then
    local line = rate_of(rate)
    local at = opens(line, join(queue, line.state, id, due))
    if at > now_us then
      if slots then
        -- Who waits for a token must not keep those behind it from a slot that is free.
        local pool = pool_of(slots)
        redis.call('ZREM', queue .. ':line:' .. pool.state, id)
        fill(pool)
      end
      park(queue, id, terms, math.ceil(at / 1000))
      return false
    end
  end
  return true
end

-- It starts: its tokens are taken, and the next in its lines come forward.
local function start(queue, id, terms)
  local slots, rate = term(terms, 'c'), term(terms, 'r')
  if slots then
    local pool = pool_of(slots)
    started[queue .. ' ' .. id] = true
    pool.taken = pool.taken + redis.call('SADD', pool.state, queue .. ' ' .. id)
  end
  if rate then take_token(rate_of(rate)) end
  leave(queue, id, terms)
  forget_unique(terms, 's', id)
end

-- It has ended for good.
local function forget_terms(queue, id, terms)
  redis.call('HDEL', queue .. ':terms', id)
  unindex(queue, id, terms)
  free_slot(queue, id, terms)
  leave(queue, id, terms)
  forget_unique(terms, 'f', id)
end

local function wake_queue(queue)
  if redis.call('LLEN', queue .. ':wake') == 0 then redis.call('LPUSH', queue .. ':wake', '1') end
end

-- Queues that got something to do by what another one did.
local function wake_others(own)
  for queue in pairs(woken) do
    if queue ~= own then wake_queue(queue) end
  end
end
