-- flow_list: look at a page of flows, the newest first.
--
-- KEYS  the lists of flows, one for each state
-- ARGV  1 what the keys of flows begin with  2 in how many of the lists to look, the first ones
--       3 id of the flow behind which the page begins ('' = with the newest)  4 the most flows of a page
--       5 the most entries that are looked at  6 the tenant whose flows are wanted ('' = all); then fields of a flow
-- Returns { how many each list has, behind which id to go on ('' = nothing is left), the values of these fields for each flow, and
-- after them the number of its stages and, for each, how many jobs it has, and how many completed, died and were cancelled }.
--
-- A page of one tenant may have fewer flows than there is room for, or none, and still name where to go on.
-- Keeps true: each flow of the page has the state of its list. An entry whose flow is gone is struck on the way,
-- and one whose flow is in another state goes to that one's list.

local prefix, lists, before, most, looks = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local tenant = ARGV[6]

-- Return the entries of all lists behind an id in those lists, the newest first, as { id, list }.
local function entries_behind(id)
  local found = {}
  local from = id == '' and '+' or '(' .. id
  for place = 1, lists do
    local ids = redis.call('ZRANGE', KEYS[place], from, '-', 'BYLEX', 'REV', 'LIMIT', 0, most)
    for _, one in ipairs(ids) do found[#found + 1] = { one, KEYS[place] } end
  end
  table.sort(found, function(one, other) return one[1] > other[1] end)
  return found
end

local function stages_in(kind, text)
  if kind == 'batch' then return 1 end
  local is_read, stages = pcall(cjson.decode, text or '')
  return is_read and type(stages) == 'table' and #stages or 0
end

-- Return the values of a flow's fields and of its stages' counts.
local function look_at(key)
  local values = redis.call('HMGET', key, unpack(ARGV, 7))
  local stages = stages_in(unpack(redis.call('HMGET', key, 'kind', 'stages')))
  values[#values + 1] = stages
  for stage = 0, stages - 1 do
    local own = stage .. ':'
    local counts = redis.call('HMGET', key, own .. 'total', own .. 'completed', own .. 'dead', own .. 'cancelled')
    for _, count in ipairs(counts) do values[#values + 1] = count end
  end
  return values
end

-- Return the list in which a flow belongs; nil for one that is gone.
local function list_of(id)
  local state = redis.pcall('HMGET', prefix .. id, 'state')[1]
  for _, list in ipairs(KEYS) do
    if state and list == string.sub(prefix, 1, -2) .. 's:' .. state then return list end
  end
end

local rows, at, looked, is_over = {}, before, 0, false
while #rows < most and looked < looks and not is_over do
  local found = entries_behind(at)
  for place = 1, math.min(#found, most) do
    if #rows == most or looked == looks then break end
    local id, list = unpack(found[place])
    local own = list_of(id)
    if own == list then
      if tenant == '' or redis.call('HGET', prefix .. id, 'tenant') == tenant then
        rows[#rows + 1] = look_at(prefix .. id)
      end
    else
      redis.call('ZREM', list, id)
      if own then redis.call('ZADD', own, 0, id) end
    end
    at = id
    looked = looked + 1
  end
  is_over = #found == 0
end

local counts = {}
for i, list in ipairs(KEYS) do counts[i] = redis.call('ZCARD', list) end
return { counts, is_over and '' or at, rows }
