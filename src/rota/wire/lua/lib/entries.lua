---------------------------------------------------------------------------------------------------- run entries
-- A run entry is one string in `runs`, `token due started lost unknown-since`. While a job is claimed the token is that
-- of its claim, and fences everything the claim may still send.
--
-- A token that begins with '-' marks the entry of a job that waits, kept because the next claim must know what it says:
--   '-<worker>'  that worker did not know the job, and leaves it to the others until the time in place of `started`
--   '-!<worker>@<ms>'  the job was just lost: by that worker, and taken back at that time; the next claim ends its
--                token with the same from '!' on, to say that it recovers a lost job
--   '-'          neither

--@include now

local function parse(entry)
  local token, due, started, lost, unknown = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return token, tonumber(due) or 0, tonumber(started), tonumber(lost), tonumber(unknown)
end

local function format(token, due, started, lost, unknown)
  return token .. ' ' .. ms(due) .. ' ' .. ms(started) .. ' ' .. ms(lost) .. ' ' .. ms(unknown)
end

-- Tell whether an entry is that of a job that waits.
local function is_memory(entry) return string.sub(entry, 1, 1) == '-' end
