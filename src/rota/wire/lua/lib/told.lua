---------------------------------------------------------------------------------------------------- told
-- What this script tells and has not written yet: `told` has the rows of events (see events.lua), `recorded` the records
-- (see records.lua). The last row is `open` while it may take more events.

local told, recorded, open = {}, {}, nil

-- Return a mark of what was told so far, for `untell`. What is told from now on is in rows of its own.
local function mark_of_told()
  open = nil
  return #told, #recorded
end

-- Take back what was told since a mark.
local function untell(rows, records)
  open = nil
  for i = #told, rows + 1, -1 do told[i] = nil end
  for i = #recorded, records + 1, -1 do recorded[i] = nil end
end
