---------------------------------------------------------------------------------------------------- sealed
-- Which payloads have a seal (see rota.wire.sealing.seals): they are bound to their ids, and nothing can be added to them.

local function is_sealed(payload) return string.find(string.sub(payload, -100), ',"sig":"[%w._/+-]+"}$') ~= nil end
