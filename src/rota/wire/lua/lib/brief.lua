---------------------------------------------------------------------------------------------------- brief
-- What an event says of an error: its beginning, whose length is bounded, so that the stream of events stays small.

local function brief(detail) return string.sub(detail, 1, 500) end
