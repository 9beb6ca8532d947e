---------------------------------------------------------------------------------------------------- herds
-- Jobs that failed at one moment would all come back at one moment, again and again: here they are spread. Expects what
-- step.lua says of its call.

-- In a second in which this many jobs are due no more are put back, if one of the next FARTHEST seconds has room.
local HERD, FARTHEST = 1000, 60
-- Multiples of the golden ratio lie evenly between whole numbers, however many there are.
local GOLDEN = 0.6180339887

local rooms = {} -- by second: where jobs go that are to be due within it

local function due_within(second)
  return redis.call('ZCOUNT', queue, ms(second * 1000), '(' .. ms(second * 1000 + 1000))
end

-- Return a second from this one on that has room for another of these jobs; all that are looked at, if none has. Seconds
-- are filled one after the other, so that the first with room is found by halving.
local function room_from(second)
  local full, at, reach, last = second - 1, second, 1, second + FARTHEST - 1
  local taken = due_within(at)
  while taken >= HERD do
    if at == last then
      return { from = second * 1000, size = FARTHEST * 1000, taken = now % 100000, most = math.huge }
    end
    full, at, reach = at, math.min(last, at + reach), 2 * reach
    taken = due_within(at)
  end
  while at - full > 1 do
    local middle = math.floor((at + full) / 2)
    local there = due_within(middle)
    if there < HERD then at, taken = middle, there else full = middle end
  end
  return { is_own = at == second, from = at * 1000, size = 1000, taken = taken, most = HERD }
end

-- Return when a job is due that was to be due at `due`: later, if too many others are.
local function spread(due)
  local second = math.floor(due / 1000)
  local room = rooms[second]
  if not room or room.taken >= room.most then
    room = room_from(second)
    rooms[second] = room
  end
  room.taken = room.taken + 1
  if room.is_own then return due end
  return room.from + math.floor(room.size * (room.taken * GOLDEN % 1))
end
