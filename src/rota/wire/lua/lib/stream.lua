---------------------------------------------------------------------------------------------------- stream
-- What all know who write to the stream of events (see events.lua). Expects the locals `events` and `keep_events`.

-- The bytes after which an entry ends, about, so that the number of entries bounds what the stream takes up.
local MOST_OF_ENTRY = 1800
-- The key that says whether anything is recorded.
local recording = string.sub(events, 1, -#'events' - 1) .. 'recording'

-- Write rows of events, which are JSON with commas between. Nothing depends on it: where it fails, the jobs go on.
local function write_entry(rows)
  redis.pcall('XADD', events, 'MAXLEN', '~', keep_events, '*', 'e', '[' .. rows .. ']')
end
