---------------------------------------------------------------------------------------------------- uniqueness
-- A unique key holds the id of the one job that may be live under it, until that job has started or has finished.

--@include terms

-- Return the key that a job holds by its terms, what an enqueue of another job of that key does, and for how long the
-- key is held whatever becomes of the job, ms (0 = until the moment that the terms name); nil for a job that holds none.
local function unique_of(terms)
  local key, rest = string.match(terms, 'u=([^|]*)|%w(%S*)')
  if not key then return nil end
  return key, string.match(rest, '^|(%a+)') or 'existing', tonumber(string.match(rest, '|(%d+)$')) or 0
end

-- Release the unique key of a job that has started (`moment` 's') or has finished ('f'), if the job still holds it.
local function release_unique(id, terms, moment)
  local key, held_until = string.match(terms, 'u=([^|]*)|(%l)')
  if not key or moment ~= 'f' and held_until ~= moment then return end
  if redis.call('MGET', key)[1] == id then redis.call('DEL', key) end -- MGET: a key of another type reads as absent
end
