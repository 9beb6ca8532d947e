---------------------------------------------------------------------------------------------------- run entries
-- A run entry is one string in `runs`, `token due started lost unknown-since`. While a job is claimed the token is that
-- of its claim, and fences everything the claim may still send. With arq's contract it has a '+' behind its number: the claim
-- has counted the attempt.
--
-- A token that begins with '-' marks the entry of a job that waits, kept because the next claim must know what it says:
--   '-<worker>'  that worker did not know the job, and leaves it to the others until the time in place of `started`
--   '-!<worker>@<ms>'  the job was just lost: by that worker, and taken back at that time; the next claim ends its
--                token with the same from '!' on, to say that it recovers a lost job. If the loss does not count,
--                there is a '~' at the end
--   '-'          neither

--@include now

-- Return the number that a text is; 0 where it is none that can be one of ours.
local function figure(text)
  local number = tonumber(text) or 0
  return number >= 0 and number < 1e15 and number or 0
end

-- Return the parts of an entry. What cannot be read of one that another hand has changed is 0.
local function parse(entry)
  local token, due, started, lost, unknown = string.match(entry, '^(%S*) ?(%S*) ?(%S*) ?(%S*) ?(%S*)')
  return token, figure(due), figure(started), figure(lost), figure(unknown)
end

local function format(token, due, started, lost, unknown)
  return token .. ' ' .. ms(due) .. ' ' .. ms(started) .. ' ' .. ms(lost) .. ' ' .. ms(unknown)
end

-- Tell whether an entry is that of a job that waits.
local function is_memory(entry) return string.sub(entry, 1, 1) == '-' end
