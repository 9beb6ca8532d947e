---------------------------------------------------------------------------------------------------- records
-- What was told, once more, with all that it was about. Expects what events.lua has, and
-- `level` and `most`.

-- The most events of an entry, and the bytes of raw values after which it ends.
local MOST_RECORDS, MOST_BYTES = 64, 262144

local records = string.gsub(recording, 'recording$', 'records')
local raw = {} -- by event: what only its record has

-- Return a job's log as it lies in Redis: a line with the name of each piece, and one with what it holds.
local function whole_log(key)
  local all = redis.pcall('HGETALL', key)
  return not all.err and #all > 0 and table.concat(all, '\n') or nil
end

local function keep_raw(event, detail, payload, terms, log_key)
  raw[event] = { flow = terms and string.match(terms, 'w=(%S+)') or nil, p = level ~= '2' and payload or nil,
    d = detail ~= '' and detail or nil, l = log_key and level ~= '2' and whole_log(log_key) or nil }
end

local function record_of(event)
  local extras = {}
  for name, value in pairs(event[6] or {}) do extras[name] = value end
  if raw[event].d then extras.detail = nil end
  extras.flow = raw[event].flow
  return { event[1], event[2], event[3], event[4], event[5], extras }
end

local function write_record(entry, values)
  if code_version ~= '' then values[#values + 1], values[#values + 2] = 'v', code_version end
  local is_json, json = pcall(cjson.encode, entry)
  if is_json then redis.pcall('XADD', records, 'MAXLEN', '~', most, '*', 'e', json, unpack(values)) end
end

local function write_records()
  local entry, values, size = {}, {}, 0
  for _, event in ipairs(told) do
    if level == '0' or event[1] ~= 'progress' then
      entry[#entry + 1] = record_of(event)
      for _, letter in ipairs({ 'p', 'd', 'l' }) do
        local value = raw[event][letter]
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
