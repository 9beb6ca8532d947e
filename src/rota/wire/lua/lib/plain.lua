---------------------------------------------------------------------------------------------------- plain
-- Plain jobs, which most are: under ids of which Redis knows nothing, without a unique key, and without terms but those
-- that keep no job back: whose it is, which webhook is told, its priority (t, h, p). As nothing is in their way, they are
-- put by one command of each kind for the whole call, and without the functions that know what to do otherwise. Expects
-- what putting.lua expects.

--@include now
--@include stream

local MOST_PLAIN = 500 -- jobs: their values fit on Lua's stack

-- Return a row of the stream as text, for which cjson takes three times as long. `ids` and `dues` are JSON.
local function row_of(ids, task, dues, terms)
  local owner, webhook = '', ''
  if terms ~= '' then
    local tenant, hook = string.match(terms, 't=(%S+)'), string.match(terms, 'h=(%S+)')
    owner = tenant and ',"tenant":' .. cjson.encode(tenant) or ''
    webhook = hook and ',"webhook":' .. cjson.encode(hook) or ''
  end
  return '["enqueued",' .. cjson.encode(queue_name) .. ',' .. ids .. ',' .. cjson.encode(task) .. ',0,{"due":' .. dues
    .. owner .. webhook .. '}]'
end

-- Write events as events.lua does, jobs of one name and the same terms in one row. `places` has a time and an id for
-- each job.
local function write_enqueued(places, tasks, terms)
  if #tasks == 1 then return write_entry(row_of(cjson.encode(places[2]), tasks[1], places[1], terms[1])) end
  local rows, ids, dues, differ, row_size, size = {}, {}, {}, false, 0, 0
  for n, task in ipairs(tasks) do
    local due, id = places[2 * n - 1], places[2 * n]
    dues[#dues + 1], ids[#ids + 1] = due, id
    differ = differ or due ~= dues[1]
    row_size = row_size + #id + (ids[2] and 17 or 60 + #task)
    if tasks[n + 1] ~= task or terms[n + 1] ~= terms[n] or row_size >= MOST_OF_ENTRY then
      local times = differ and '[' .. table.concat(dues, ',') .. ']' or due
      rows[#rows + 1] = row_of(cjson.encode(ids[2] and ids or id), task, times, terms[n])
      ids, dues, differ, row_size, size = {}, {}, false, 0, size + row_size
      if size > MOST_OF_ENTRY or not tasks[n + 1] then
        write_entry(table.concat(rows, ','))
        rows, size = {}, 0
      end
    end
  end
end

-- Write what terms mean, by the places of jobs with terms: a time, an id and its terms for each. Return the answer of the
-- last command, which is a table if that failed.
local function write_terms(termed)
  local terms_by_id, levels = {}, {}
  for at = 1, #termed, 3 do
    local due, id, terms = unpack(termed, at, at + 2)
    terms_by_id[#terms_by_id + 1] = id
    terms_by_id[#terms_by_id + 1] = terms
    local level = string.match(terms, 'p=([1-9])')
    if level then
      local index = levels[level] or {}
      levels[level] = index
      index[#index + 1] = due
      index[#index + 1] = id
    end
  end
  local answer = redis.pcall('HSET', queue .. ':terms', unpack(terms_by_id))
  for level, index in pairs(levels) do
    if type(answer) ~= 'table' then answer = redis.pcall('ZADD', queue .. ':p' .. level, unpack(index)) end
    if type(answer) ~= 'table' then answer = redis.pcall('HSET', queue .. ':levels', level, 1) end
  end
  return answer
end

-- Return when jobs of a kind are due, their name and their terms; nothing if they are not plain.
local function plain_kind(kind)
  local due, delay, life, task, terms, unique = unpack(ARGV, 7 * kind - 2, 7 * kind + 3)
  if unique ~= '' or life ~= '0' then return nil end
  if terms ~= '' and string.find(' ' .. terms, ' [^thp]=') then return nil end
  if due == '-1' and delay == '0' then return now_ms, task, terms end
  due = due ~= '-1' and tonumber(due) or now + tonumber(delay)
  if due < 0 or due >= 1e14 then return nil end -- an event says nothing of such a time
  return ms(due), task, terms
end

-- Put one plain job without terms, as `put_plain` would: without its lists the script takes 17 µs in place of 19.5.
local function put_single(id, payload, due, task)
  local key = 'arq:job:' .. id
  local known = redis.pcall('EXISTS', 'arq:abort', key, 'arq:result:' .. id, events ~= '' and recording or key)
  if known ~= 0 or redis.pcall('MSET', key, payload).err then return nil end
  local answer = redis.pcall('ZADD', queue, due, id)
  if type(answer) == 'table' then return nil, answer end
  if events ~= '' then write_entry(row_of(cjson.encode(id), task, due, '')) end
  if redis.pcall('LLEN', wake) == 0 then redis.pcall('LPUSH', wake, '1') end
  return 1
end

-- Put all jobs, whose values begin at `first`, each `stride` behind the one before (see enqueue.lua), and return how many.
-- Return nil, and do nothing, where one of them is not plain, or something is recorded. If a command fails when something
-- is written, return nil and the error: the caller undoes it.
local function put_plain(first, stride)
  if #ARGV - first >= stride * MOST_PLAIN then return nil end
  local due, task, terms = plain_kind(1)
  if #ARGV - first == 1 and due and terms == '' then return put_single(ARGV[first], ARGV[first + 1], due, task) end
  local known, left = {}, { 'arq:abort', events ~= '' and recording or nil }
  local payloads, places, tasks, all_terms, termed = {}, {}, {}, {}, nil
  for at = first, #ARGV, stride do
    if stride == 3 then due, task, terms = plain_kind(tonumber(ARGV[at])) end
    local id = ARGV[at + stride - 2]
    if not due or known[id] then return nil end
    local n, key = #tasks + 1, 'arq:job:' .. id
    known[id] = true
    left[#left + 1] = key
    left[#left + 1] = 'arq:result:' .. id
    payloads[2 * n - 1], payloads[2 * n] = key, ARGV[at + stride - 1]
    places[2 * n - 1], places[2 * n] = due, id
    if terms ~= '' then
      termed = termed or {}
      termed[#termed + 1] = due
      termed[#termed + 1] = id
      termed[#termed + 1] = terms
    end
    tasks[n], all_terms[n] = task, terms
  end

  -- What fails here has written nothing, and fails again where jobs are put one by one.
  if redis.pcall('EXISTS', unpack(left)) ~= 0 or redis.pcall('MSET', unpack(payloads)).err then return nil end
  local answer = termed and write_terms(termed)
  if type(answer) ~= 'table' then answer = redis.pcall('ZADD', queue, unpack(places)) end
  if type(answer) == 'table' then return nil, answer end
  -- Nothing else depends on these: without a token an idle worker finds the jobs by itself, a little later.
  if events ~= '' then write_enqueued(places, tasks, all_terms) end
  if redis.pcall('LLEN', wake) == 0 then redis.pcall('LPUSH', wake, '1') end
  return #tasks
end
