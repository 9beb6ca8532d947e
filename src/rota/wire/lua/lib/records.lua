---------------------------------------------------------------------------------------------------- records
-- What was told, once more, with all that it was about. Expects what events.lua has, and
-- `level` and `most`.

-- The most events of an entry, and the bytes of raw values after which it ends.
local MOST_RECORDS, MOST_BYTES = 64, 262144

local records = string.gsub(recording, 'recording$', 'records')

-- Return a job's log as it lies in Redis: a line with the name of each piece, and one with what it holds.
local function whole_log(key)
  local all = redis.pcall('HGETALL', key)
  return not all.err and #all > 0 and table.concat(all, '\n') or nil
end

local function note_record(kind, queue_name, id, task, attempt, due, more, detail, payload, terms, log_key)
  local extras = { due = tonumber(due), flow = terms and string.match(terms, 'w=(%S+)') or nil }
  for name, value in pairs(more or {}) do extras[name] = value end
  recorded[#recorded + 1] = { event = { kind, queue_name, id, task, attempt, extras },
    p = level ~= '2' and payload or nil, d = detail ~= '' and detail or nil,
    l = log_key and level ~= '2' and whole_log(log_key) or nil }
end

local function write_record(entry, values)
  if code_version ~= '' then values[#values + 1], values[#values + 2] = 'v', code_version end
  local is_json, json = pcall(cjson.encode, entry)
  if is_json then redis.pcall('XADD', records, 'MAXLEN', '~', most, '*', 'e', json, unpack(values)) end
end

local function write_records()
  local entry, values, size = {}, {}, 0
  for i = 1, #recorded do
    local record = recorded[i]
    recorded[i] = nil
    if level == '0' or record.event[1] ~= 'progress' then
      entry[#entry + 1] = record.event
      for _, letter in ipairs({ 'p', 'd', 'l' }) do
        local value = record[letter]
        if value then
          values[#values + 1] = letter .. #entry - 1
          values[#values + 1] = value
          size = size + #value
        end
      end
      if #entry == MOST_RECORDS or size > MOST_BYTES then
        write_record(entry, values)
        entry, values, size = {}, {}, 0
      end
    end
  end
  if #entry > 0 then write_record(entry, values) end
end
