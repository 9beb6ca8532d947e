---------------------------------------------------------------------------------------------------- faults
-- What follows when a command of a script has failed: Redis takes nothing back by itself.

--@include calls

-- Delete a key that a script wrote; a user without the right to delete lets it expire.
local function remove(key)
  if type(redis.pcall('DEL', key)) == 'table' then redis.pcall('SET', key, '', 'PX', 1) end
end

-- Raise again what `pcall` caught.
local function raise(problem) error(type(problem) == 'string' and { err = problem } or problem, 0) end

-- Tell whether what `pcall` caught is that the user may not do something, which is put right from outside.
local function is_forbidden(problem)
  return string.find(tostring(type(problem) == 'table' and problem.err or problem), 'NOPERM', 1, true) ~= nil
end

local allowed = {} -- commands and keys that the user has the right to

-- Refuse, in the words of Redis, what the user may not do: what undoes a write, or what is to follow it.
local function check_right(name, key)
  if not redis.may or allowed[name .. key] then return end
  -- What follows the first key of DEL and UNLINK would be keys too.
  local is_allowed = (name == 'DEL' or name == 'UNLINK') and redis.may(name, key) or redis.may(name, key, '1', '1')
  if not is_allowed then
    error({ err = "NOPERM this user has no permissions to run the '" .. string.lower(name) .. "' command on " .. key }, 0)
  end
  allowed[name .. key] = true
end
