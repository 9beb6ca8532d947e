-- log: keep what the handlers of running jobs have logged, where their claims still hold.
--
-- KEYS  1 runs
-- ARGV  for each job: id, token, the pieces of its log (see rota/wire/log/pieces.py)
-- Returns for each job 1 = kept, 0 = the claim was lost or settled, or Redis is full.
--
-- Keeps true: the token keeps out a claim that was lost or settled. What is sent twice is kept once. A full Redis keeps
-- none: a log is the first thing to be given up.

local runs = KEYS[1]

--@include log

local answers, is_full = {}, false
for at = 1, #ARGV, 3 do
  local id, token, pieces = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local entry = redis.call('HGET', runs, id)
  local is_kept = false
  if not is_full and entry and string.match(entry, '^(%S+)') == token then
    is_kept = write_log(LOG .. id, pieces)
    is_full = not is_kept
    if is_kept then redis.pcall('PEXPIRE', LOG .. id, LIVE) end
  end
  answers[#answers + 1] = is_kept and 1 or 0
end
return answers
