---------------------------------------------------------------------------------------------------- events
-- What a script tells of jobs and flows. It is collected, and written in one entry of the stream, because an entry for
-- each event takes Redis twice as long. Events that follow each other and differ in nothing but the job, and the time at
-- which it was due, are one row of the entry: a step tells the same of fifty jobs, and fifty rows take three times as long
-- to write as JSON, and twice the memory. How entries look is said in rota/wire/events.py. Expects the locals `events`
-- ('' = tell nothing) and `keep_events`.
--
-- While the key <namespace>:recording stands, all is told once more, and whole, to the stream <namespace>:records. Its
-- value is `<level> <entries to keep>`; of level 1 is what is recorded without progress, of 2 without payloads and logs too.

--@include calls
--@include told
--@include stream

-- The version of the code of the worker whose call this is ('' = none, or unknown): its script sets it.
local code_version = ''
local recorder -- what records, once that is known: false = nothing does

local function find_recorder()
  local said = redis.pcall('MGET', recording) -- MGET: a key of another type reads as absent
  -- Where the key cannot be read, the events are told all the same.
  local level, most = string.match(not said.err and said[1] or '', '^([012]) (%d+)$')
  recorder = level and (function()
--@include records
    return { note = note_record, write = write_records }
  end)() or false
end

-- Return a table with the fields of `more`, which others may share, and one more.
local function with_field(more, name, value)
  local all = { [name] = value }
  for other, said in pairs(more or {}) do all[other] = said end
  return all
end

-- Return `more` with whose job it is, and who is told of its end, as its terms say.
local function with_owner(more, terms)
  local tenant, webhook = string.match(terms, 't=(%S+)'), string.match(terms, 'h=(%S+)')
  if tenant then more = with_field(more, 'tenant', tenant) end
  return webhook and with_field(more, 'webhook', webhook) or more
end

-- Return the beginning of an error. Where the cut is within a character, that goes too.
local function beginning(detail)
  return #detail > 500 and string.gsub(string.sub(detail, 1, 500), '[\192-\255][\128-\191]*$', '') or detail
end

-- Return a time in digits, as most times come from Redis: cjson takes longer to write a number than all else of an event.
-- What is none, or an infinity, which JSON has not, is nil.
local function digits(due)
  if type(due) == 'string' and #due < 15 and string.find(due, '^%d+$') then return due end
  due = tonumber(due)
  return due and due >= 0 and due < 1e14 and string.format('%.0f', due) or nil
end

local function add_row(kind, queue_name, id, task, attempt, due, more)
  open = { kind = kind, queue = queue_name, task = task, attempt = attempt, more = more, ids = { id },
    due = due, dues = { due }, size = 60 + #id + #task + (more and 40 + #(more.detail or '') + #(more.message or '') or 0) }
  told[#told + 1] = open
end

-- Tell an event of a job or a flow; of no type, nothing. `due` is in ms. `more` has what only some events say: worker,
-- percent, message, reason, detail; it is not changed, and those who tell of many jobs share one. `detail` is the whole
-- result or error, of which the event has the beginning of an error. The payload and the key of the job's log are for
-- records. The terms say whose job it is.
local function tell(kind, queue_name, id, task, attempt, due, more, detail, payload, terms, log_key)
  if events == '' or kind == '' then return end
  if recorder == nil then find_recorder() end
  due = due and digits(due)
  if attempt ~= 1 then
    attempt = tonumber(attempt) or 0
    attempt = attempt >= 0 and attempt < 1e14 and math.floor(attempt) or 0
  end
  if terms then more = with_owner(more, terms) end
  if recorder then recorder.note(kind, queue_name, id, task, attempt, due, more, detail, payload, terms, log_key) end
  if detail and detail ~= '' and kind ~= 'completed' then more = with_field(more, 'detail', beginning(detail)) end
  local row = open
  if row and row.kind == kind and row.more == more and row.task == task and row.attempt == attempt
    and row.queue == queue_name and (row.due == nil) == (due == nil) and row.size < MOST_OF_ENTRY then
    local n = #row.ids + 1
    row.ids[n], row.dues[n] = id, due
    row.size = row.size + #id + (due and 17 or 3)
    row.differ = row.differ or due ~= row.due
  else
    add_row(kind, queue_name, id, task, attempt, due, more)
  end
end

-- Return a row as it is written, or nothing of one that JSON cannot have.
local function written(row)
  local more = row.more and next(row.more) and row.more
  local is_json, json = pcall(cjson.encode,
    { row.kind, row.queue, row.ids[2] and row.ids or row.ids[1], row.task, row.attempt, more or nil })
  if not (is_json and row.due) then return is_json and json or nil end
  -- The times, which are in digits already, go to the front of what only some events say, or are all of it.
  local due = '{"due":' .. (row.differ and '[' .. table.concat(row.dues, ',') .. ']' or row.due)
  if not more then return string.sub(json, 1, -2) .. ',' .. due .. '}]' end
  local said = cjson.encode(more)
  return string.sub(json, 1, -#said - 2) .. due .. ',' .. string.sub(said, 2) .. ']'
end

-- Write what was told. Nothing else depends on it: where it cannot be written, the jobs go on all the same.
local function write_events()
  if recorder then recorder.write() end
  local entry, size, last = {}, 0, #told
  for i = 1, last do
    entry[#entry + 1] = written(told[i])
    size = size + told[i].size
    told[i] = nil
    if size > MOST_OF_ENTRY or i == last then
      if entry[1] then write_entry(table.concat(entry, ',')) end
      entry, size = {}, 0
    end
  end
  open = nil
end
