---------------------------------------------------------------------------------------------------- uniqueness
-- A unique key holds the id of the one job that may be live under it, until that job has started or has finished.

--@include terms

-- Release the unique key of a job that has started (`moment` 's') or has finished ('f'), if the job still holds it.
local function release_unique(id, terms, moment)
  local key, held_until = string.match(terms, 'u=([^|]*)|(%l)')
  if key and (moment == 'f' or held_until == moment) and redis.call('GET', key) == id then redis.call('DEL', key) end
end
