-- look: find the next jobs of some queues that are in one state, and count the jobs of each queue by their states.
--
-- KEYS  for each queue: 1 queue  2 active  3 parked  4 dead
-- ARGV  1 state ('' = count alone)  2 the most jobs of a queue  3 the most members of a queue that are looked at; then for
--       each queue: the score at which it begins ('' = at the beginning), and how many members of this score are passed over
-- Returns { now in ms, then for each queue: { waiting, delayed, active, dead, 1 = there may be more, the score and the
--         number of members of this score at which to go on, then for each job: id, score, the number at which to go on } }
--
-- Keeps true: nothing is changed. Jobs come by their scores, dead ones the newest first, and however many others stand
-- among them, no more members are looked at than was said.

--@include now

local state, most, bound = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local PAGE = 200
local later = '(' .. now_ms

-- Return how many jobs of a queue wait, are delayed, run and are dead.
local function counts(queue, active, parked, dead)
  local runs, kept = redis.call('ZCARD', active), redis.call('ZCOUNT', parked, later, '+inf')
  local due, all = redis.call('ZCOUNT', queue, '-inf', now_ms), redis.call('ZCARD', queue)
  return { due + kept, math.max(0, all - due - runs - kept), runs, redis.call('ZCARD', dead) }
end

-- Return the sets in which jobs of the state are, each with its first and its last score, and where others stand.
local function sets(queue, active, parked, dead)
  if state == 'dead' then return { { dead, '+inf', '-inf', {} } } end
  if state == 'active' then return { { active, '-inf', '+inf', {} } } end
  -- The scores of claimed jobs (the ends of their leases) and of parked ones (their turns) look like delayed jobs'.
  if state == 'delayed' then return { { queue, later, '+inf', { active, parked } } } end
  if state == 'waiting' then return { { queue, '-inf', now_ms, { active } }, { parked, later, '+inf', {} } } end
  return {}
end

-- Read a page of a set.
local function page(set, from, to, offset)
  if state == 'dead' then
    return redis.call('ZRANGE', set, from, to, 'BYSCORE', 'REV', 'LIMIT', offset, PAGE, 'WITHSCORES')
  end
  return redis.call('ZRANGE', set, from, to, 'BYSCORE', 'LIMIT', offset, PAGE, 'WITHSCORES')
end

-- Tell which members of a page are in other sets, by their numbers.
local function elsewhere(members, others)
  local ids, found = {}, {}
  for at = 1, #members, 2 do ids[#ids + 1] = members[at] end
  for _, other in ipairs(others) do
    for number, score in ipairs(redis.call('ZMSCORE', other, unpack(ids))) do
      found[number] = found[number] or score
    end
  end
  return found
end

-- Add the next jobs of a set to `row`; return whether there may be more than are to be found or looked at.
local function read(row, set, looked)
  local key, from, to, others = unpack(set)
  local offset = 0
  -- A place may lie before the set's first score, as that of a due job does where parked ones begin.
  local begin = string.gsub(row[6], '%(', '')
  if begin ~= '' and (from ~= later or tonumber(begin) > now) then from, offset = row[6], row[7] end
  while true do
    local members = page(key, from, to, offset)
    if #members == 0 then return false end
    local passed = elsewhere(members, others)
    for at = 1, #members, 2 do
      if looked.count >= bound or #row >= 7 + 3 * most then return true end
      looked.count = looked.count + 1
      row[7] = row[6] == members[at + 1] and row[7] + 1 or 1
      row[6] = members[at + 1]
      if not passed[(at + 1) / 2] then
        row[#row + 1], row[#row + 2], row[#row + 3] = members[at], row[6], row[7]
      end
    end
    offset = offset + #members / 2
  end
end

local answer = { now }
for at = 1, #KEYS, 4 do
  local queue, active, parked, dead = KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3]
  local row, looked = counts(queue, active, parked, dead), { count = 0 }
  local place = 4 + (at - 1) / 2
  row[5], row[6], row[7] = 0, ARGV[place] or '', tonumber(ARGV[place + 1] or 0)
  for _, set in ipairs(sets(queue, active, parked, dead)) do
    if read(row, set, looked) then
      row[5] = 1
      break
    end
  end
  answer[#answer + 1] = row
end
return answer
