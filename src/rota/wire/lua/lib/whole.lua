---------------------------------------------------------------------------------------------------- whole or not at all
-- Redis takes nothing back when a command of a script fails: a key of another type, a right that is missing. What runs
-- in `whole` leaves nothing half made: before each write it is noted what undoes it, and if a command fails, all is
-- undone, and the error raised again.
--
-- A write is refused where what undoes it is forbidden. Where memory is full, what undoes is allowed once something was
-- written. What is deleted for good waits until everything else is done, and the events of what is undone are not told.

--@include calls
--@include faults
--@include told

local command, undoing, for_good, afterwards = redis.call, nil, nil, nil

-- What undoes a command: { function that is called before it, and returns what undoes it; the command that does so }.
local UNDO = {}

-- Return the text at a key and how long it lives; nil for a key of another type (as MGET says), which none of ours is.
local function text_at(key)
  local value = command('MGET', key)[1]
  if value then return value, command('PTTL', key) end
end

local function put_back(key, value, life)
  if not value then return remove(key) end
  if life > 0 then redis.pcall('SET', key, value, 'PX', life) else redis.pcall('SET', key, value) end
end

-- Return the fields of a hash as arguments of HSET, and those that it does not have.
local function fields_of(key, fields)
  local values, set, missing = command('HMGET', key, unpack(fields)), {}, {}
  for i, field in ipairs(fields) do
    if values[i] then
      set[#set + 1] = field
      set[#set + 1] = values[i]
    else
      missing[#missing + 1] = field
    end
  end
  return set, missing
end

local function set_again(key, fields)
  local set, missing = fields_of(key, fields)
  return function()
    if #set > 0 then redis.pcall('HSET', key, unpack(set)) end
    if #missing > 0 then redis.pcall('HDEL', key, unpack(missing)) end
  end
end

local function score_again(key, members)
  local scores = command('ZMSCORE', key, unpack(members))
  return function()
    for i, member in ipairs(members) do
      if scores[i] then redis.pcall('ZADD', key, scores[i], member) else redis.pcall('ZREM', key, member) end
    end
  end
end

-- Return every second of these arguments, from the first.
local function every_second(...)
  local found = {}
  for i = 1, select('#', ...), 2 do found[#found + 1] = (select(i, ...)) end
  return found
end

UNDO.SET = { function(key, _, how)
  if how == 'NX' then return function(answer) if answer then remove(key) end end end
  local value, life = text_at(key)
  return function() put_back(key, value, life) end
end, 'DEL' }

UNDO.DEL = { function(...)
  local kept = {}
  for _, key in ipairs({ ... }) do
    local value, life = text_at(key)
    if value then kept[#kept + 1] = { key, value, life } end
  end
  return function()
    for _, one in ipairs(kept) do put_back(unpack(one)) end
  end
end, 'SET' }

UNDO.HSET = { function(key, ...) return set_again(key, every_second(...)) end, 'HDEL' }
UNDO.HDEL = { function(key, ...) return set_again(key, { ... }) end, 'HSET' }
UNDO.HSETNX = { function(key, field)
  return function(answer) if answer == 1 then redis.pcall('HDEL', key, field) end end
end, 'HDEL' }
UNDO.HINCRBY = { function(key, field, by)
  return function() redis.pcall('HINCRBY', key, field, -by) end
end, 'HINCRBY' }

UNDO.ZADD = { function(key, ...)
  local first = (...)
  if first == 'NX' or first == 'XX' then return score_again(key, every_second(select(3, ...))) end
  return score_again(key, every_second(select(2, ...)))
end, 'ZREM' }
UNDO.ZREM = { function(key, ...) return score_again(key, { ... }) end, 'ZADD' }

UNDO.SADD = { function(key, member)
  return function(answer) if answer == 1 then redis.pcall('SREM', key, member) end end
end, 'SREM' }
UNDO.SREM = { function(key, member)
  return function(answer) if answer == 1 then redis.pcall('SADD', key, member) end end
end, 'SADD' }

UNDO.RPUSH = { function(key)
  return function() redis.pcall('RPOP', key) end
end, 'RPOP' }
UNDO.RPOP = { function(key)
  return function(answer) redis.pcall('RPUSH', key, answer) end
end, 'RPUSH' }

local function live_again(key)
  local life = command('PTTL', key)
  return function()
    if life > 0 then redis.pcall('PEXPIRE', key, life) elseif life == -1 then redis.pcall('PERSIST', key) end
  end
end
UNDO.PEXPIRE = { live_again, 'PERSIST' }
UNDO.PERSIST = { live_again, 'PEXPIRE' }

-- Call a command as `redis.call` does within `whole`.
local function noting(name, key, ...)
  local undo = UNDO[name]
  if not undo then return command(name, key, ...) end
  check_right(undo[2], key)
  local note = undo[1](key, ...)
  local answer = command(name, key, ...)
  undoing[#undoing + 1] = function() note(answer) end
  return answer
end

-- Delete what nothing needs any more, and what may be too large to be put back: once all else is done.
local function discard(name, key, ...)
  if not undoing then return command(name, key, ...) end
  check_right(name, key)
  for_good[#for_good + 1] = { name, key, ... }
end

-- Do what nothing depends on once all else is done, and not at all if that fails: it may fail itself, and is not undone.
local function at_last(work)
  if undoing then afterwards[#afterwards + 1] = work else pcall(work) end
end

-- Run `work`, which writes in ways that `undo` takes back as a whole, so that nothing of it has to be noted.
local function taken_back_by(undo, work)
  if not undoing then return work() end
  undoing[#undoing + 1] = undo
  redis.call = command
  work()
  redis.call = noting
end

-- Delete for good. Until something is deleted, a failure undoes all; after that the rest can only be let go.
local function finish_whole()
  local deleted = false
  for _, one in ipairs(for_good) do
    local answer = (deleted and redis.pcall or command)(unpack(one))
    if type(answer) == 'table' and one[1] ~= 'HDEL' then redis.pcall('PEXPIRE', one[2], 1) end
    deleted = true
  end
end

local function whole(work, ...)
  if undoing then return work(...) end
  undoing, for_good, afterwards = {}, {}, {}
  local rows, records = mark_of_told()
  redis.call = noting
  local results = { pcall(work, ...) }
  redis.call = command
  if results[1] then
    local is_done, problem = pcall(finish_whole)
    if not is_done then results = { false, problem } end
  end
  local notes = undoing
  undoing = nil
  if results[1] then
    for _, one in ipairs(afterwards) do pcall(one) end
    return unpack(results, 2)
  end
  untell(rows, records)
  for i = #notes, 1, -1 do pcall(notes[i]) end
  raise(results[2])
end
