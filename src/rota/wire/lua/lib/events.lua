---------------------------------------------------------------------------------------------------- events
-- What a script tells of jobs and flows. It is collected, and written in one entry of the stream, because an entry for
-- each event takes Redis twice as long. How entries look is said in rota/wire/events.py. Expects the locals `events`
-- ('' = tell nothing) and `keep_events`.
--
-- While the key <namespace>:recording stands, all is told once more, and whole, to the stream <namespace>:records. Its
-- value is `<level> <entries to keep>`; of level 1 is what is recorded without progress, of 2 without payloads too.

--@include calls
--@include told

-- An entry ends with the event that exceeds about this, bytes, so that the number of entries bounds what the stream
-- takes up.
local LONGEST_ENTRY = 1800

-- Return what an event says of an error: its beginning, without the part of a character at its end; nil for none.
local function brief(detail)
  if #detail <= 500 then return detail ~= '' and detail or nil end
  return (string.gsub(string.sub(detail, 1, 500), '[\192-\255][\128-\191]*$', ''))
end

-- Return a number that JSON can carry; nil for what is none.
local function number_of(value)
  value = tonumber(value)
  return value and value >= 0 and value < 1e14 and value or nil
end

local recorder -- what records, once it is known whether anything is: false = nothing is

local function recording_key() return string.sub(events, 1, -#'events' - 1) .. 'recording' end

local function find_recorder()
  local said = redis.call('MGET', recording_key())[1] -- MGET: a key of another type reads as absent
  local level, most = string.match(said or '', '^([012]) (%d+)$')
  recorder = level and (function()
--@include records
    return { keep = keep_raw, write = write_records }
  end)() or false
end

-- Tell an event of a job or a flow; of no type, nothing. `more` is a new table of what only some events say: due (ms),
-- worker, percent, message, reason, detail. Only records have what is behind it: the job's payload, the whole result or
-- error, the job's terms.
local function tell(kind, queue_name, id, task, attempt, more, payload, whole_detail, terms)
  if events == '' or kind == '' then return end
  if recorder == nil then find_recorder() end
  if more and more.due then more.due = number_of(more.due) end
  attempt = attempt == 1 and 1 or math.floor(number_of(attempt) or 0)
  local event = { kind, queue_name, id, task or '', attempt, more }
  told[#told + 1] = event
  if recorder then recorder.keep(event, payload, whole_detail, terms) end
end

-- Write what was told. Nothing else depends on it: where it cannot be written, the jobs go on all the same.
local function write_events()
  if recorder then recorder.write() end
  local entry, size, last = {}, 0, #told
  for i = 1, last do
    local event = told[i]
    local more = event[6]
    told[i] = nil
    entry[#entry + 1] = event
    size = size + 60 + #event[3] + #event[4] + (more and 40 + #(more.detail or '') + #(more.message or '') or 0)
    if size > LONGEST_ENTRY or i == last then
      local is_json, json = pcall(cjson.encode, entry)
      if is_json then redis.pcall('XADD', events, 'MAXLEN', '~', keep_events, '*', 'e', json) end
      entry, size = {}, 0
    end
  end
end
