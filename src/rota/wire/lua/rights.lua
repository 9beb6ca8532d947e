-- rights: try commands, and say how Redis answers to each.
--
-- KEYS  none, so that it is told key by key what is refused
-- ARGV  for each command: how many words it has, and its words
-- Returns for each command its error, '' for none.
--
-- Keeps true: what is tried changes nothing. The caller makes one key, and deletes it with the last commands.

local errors, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local answer = redis.pcall(unpack(ARGV, at + 1, at + count))
  errors[#errors + 1] = type(answer) == 'table' and answer.err or ''
  at = at + count + 1
end
return errors
