---------------------------------------------------------------------------------------------------- told
-- The events of this script that are not written yet (see events.lua), each as JSON.

local told = {}
