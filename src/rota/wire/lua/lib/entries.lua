---------------------------------------------------------------------------------------------------- run entries
-- A run entry is one string in `runs`, `token due started lost unknown-since`: who has the job, and its memory.
-- Wants now.
--
-- A token that begins with '-' is the memory of a job that waits; behind the '-' is the worker that did not know it,
-- and in place of `started` the time from which that worker may claim it again: until then it is somebody else's turn.
-- `-!` says that the job comes straight from a loss, and the next claim says so with a '!' at the end of its token:
-- whoever holds it took over what was lost, and nobody after it did.

local function parse(entry)
  local token, due, started, lost, unknown = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return token, tonumber(due) or 0, tonumber(started), tonumber(lost), tonumber(unknown)
end

local function format(token, due, started, lost, unknown)
  return token .. ' ' .. ms(due) .. ' ' .. ms(started) .. ' ' .. ms(lost) .. ' ' .. ms(unknown)
end

local function is_memory(entry) return string.sub(entry, 1, 1) == '-' end
