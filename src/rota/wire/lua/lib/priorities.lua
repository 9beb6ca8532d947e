---------------------------------------------------------------------------------------------------- priorities
-- For each priority in use an index of its jobs by due time, `<queue>:p<level>`, and all of these in `<queue>:levels`.
--
-- The queue's own set stays the truth. An index may still name a job that has moved or is gone; it is corrected when
-- the job is looked at.

--@include now
--@include terms

local function level_of(terms) return string.match(terms, 'p=([1-9])') end

local function index_priority(queue, id, score, terms)
  local level = terms and level_of(terms)
  if level then
    redis.call('ZADD', queue .. ':p' .. level, ms(score), id)
    redis.call('HSET', queue .. ':levels', level, 1)
  end
end

-- Strike a level that has no more jobs off the list of levels, and delete the list with the last of them.
local function drop_level(queue, level)
  if redis.call('EXISTS', queue .. ':p' .. level) == 1 then return end
  redis.call('HDEL', queue .. ':levels', level)
  if redis.call('HLEN', queue .. ':levels') == redis.call('HEXISTS', queue .. ':levels', 'turn') then
    redis.call('HDEL', queue .. ':levels', 'turn') -- which deletes the key
  end
end

local function unindex_priority(queue, id, terms)
  local level = level_of(terms)
  if level and redis.call('ZREM', queue .. ':p' .. level, id) == 1 then drop_level(queue, level) end
end

-- Make a job due at `score`, in its queue and in the index of its priority.
local function schedule(queue, id, score, terms)
  redis.call('ZADD', queue, ms(score), id)
  index_priority(queue, id, score, terms)
end
