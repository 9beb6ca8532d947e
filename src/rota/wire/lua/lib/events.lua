---------------------------------------------------------------------------------------------------- events
-- What a script tells of jobs and flows. It is collected, and written in one entry of the stream, because an entry for
-- each event takes Redis twice as long. How entries look is said in rota/wire/events.py. Expects the locals `events`
-- ('' = tell nothing) and `keep_events`.
--
-- While the key <namespace>:recording stands, all is told once more, and whole, to the stream <namespace>:records. Its
-- value is `<level> <entries to keep>`; of level 1 is what is recorded without progress, of 2 without payloads and logs too.

--@include calls
--@include told

-- The version of the code of the worker whose call this is ('' = none, or unknown): its script sets it.
local code_version = ''
-- The key that says whether anything is recorded; and what records, once that is known: false = nothing is.
local recording, recorder = string.sub(events, 1, -#'events' - 1) .. 'recording', nil

-- Tell an event of a job or a flow; of no type, nothing. `more` is a new table of what only some events say: due (ms),
-- worker, percent, message, reason, detail. `detail` is the whole result or error, of which the event has the beginning of
-- an error. The payload and the key of the job's log are for records. The terms say whose job it is.
local function tell(kind, queue_name, id, task, attempt, more, detail, payload, terms, log_key)
  if events == '' or kind == '' then return end
  if recorder == nil then
    local said = redis.pcall('MGET', recording) -- MGET: a key of another type reads as absent
    -- Where the key cannot be read, the events are told all the same.
    local level, most = string.match(not said.err and said[1] or '', '^([012]) (%d+)$')
    recorder = level and (function()
--@include records
      return { keep = keep_raw, write = write_records }
    end)() or false
  end
  if more and more.due then
    -- JSON has no infinity, and cjson no more digits than 14.
    local due = tonumber(more.due)
    more.due = due and due >= 0 and due < 1e14 and due or nil
  end
  if detail and detail ~= '' and kind ~= 'completed' then
    -- Where the cut is within a character, that goes too.
    local begun = #detail > 500 and string.gsub(string.sub(detail, 1, 500), '[\192-\255][\128-\191]*$', '')
    more.detail = begun or detail
  end
  if terms then
    local tenant, webhook = string.match(terms, 't=(%S+)'), string.match(terms, 'h=(%S+)')
    if tenant or webhook then
      more = more or {}
      more.tenant, more.webhook = tenant, webhook
    end
  end
  if attempt ~= 1 then
    attempt = tonumber(attempt) or 0
    attempt = attempt >= 0 and attempt < 1e14 and math.floor(attempt) or 0
  end
  local event = { kind, queue_name, id, task or '', attempt, more }
  told[#told + 1] = event
  if recorder then recorder.keep(event, detail, payload, terms, log_key) end
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
    -- So the number of entries bounds what the stream takes up.
    if size > 1800 or i == last then
      local is_json, json = pcall(cjson.encode, entry)
      if is_json then redis.pcall('XADD', events, 'MAXLEN', '~', keep_events, '*', 'e', json) end
      entry, size = {}, 0
    end
  end
end
